/* Where to look: cheap patterns, each with one end for each start, and what reads on from there. */
#include "lib/base/attr.h"
#include "processors/compliance/confirm.h"

const struct trigger triggers[] = {
	{.regex = "[0-9A-Za-z_%+-]@[0-9A-Za-z]", .confirm = confirm_email},
	{.regex = "\\+[1-9]", .confirm = confirm_phone_plus},
	{.regex = "\\([2-9][0-9]{2}\\)", .confirm = confirm_phone_area},
	{.regex = "[0-9A-Fa-f:]:[0-9A-Fa-f:]", .confirm = confirm_ipv6},
	{.regex = "\\b(?:name|patient|employee|customer|applicant|cardholder|surname):", .caseless = true, .confirm = confirm_person},
	{.regex = "\\b(?:Mr|Mrs|Ms|Dr|Miss|Herr|Frau|Mme)\\.? [A-Z]", .confirm = confirm_person},
	{.regex = "\\b[0-9]", .confirm = confirm_digits},
	{.regex = "\\b[A-Z]{2}[0-9]{2}", .confirm = confirm_iban},
	{.regex = "\\b[A-Z]{6}[A-Z0-9]{2}", .confirm = confirm_bic},
	{.regex = "\\b[A-Z]{2} ?[0-9]{2}", .confirm = confirm_nino},
	{.regex = "\\b[A-HJ-NPR-Z0-9]{17}\\b", .confirm = confirm_vin},
	{.regex = "\\b[A-TV-Z][0-9][0-9AB]\\.[0-9A-Z]", .confirm = confirm_icd},
	{.regex = "[*Xx#][ -]?[0-9]{4}\\b", .confirm = confirm_masked_card},
	{.regex = "%B[0-9]{4}", .confirm = confirm_track1, .width = 6},
	{.regex = ";[0-9]{4}", .confirm = confirm_track2, .width = 5},
	{.regex = "PRIVATE KEY-----", .confirm = confirm_private_key, .width = 16},
	{.regex = "\\beyJ[0-9A-Za-z_-]", .confirm = confirm_jwt, .width = 4},
	{.regex = "\\b(?:AKIA|ASIA)[0-9A-Z]{16}\\b", .confirm = confirm_token, .width = 20, .least = 20},
	{.regex = "\\bgh[pousr]_[0-9A-Za-z]{36}\\b", .confirm = confirm_token, .width = 40, .least = 40},
	{.regex = "\\bxox[abprs]-[0-9A-Za-z]", .confirm = confirm_token, .width = 6, .least = 20},
	{.regex = "\\bAIza[0-9A-Za-z_-]{35}", .confirm = confirm_token, .width = 39, .least = 39},
	{.regex = "\\b[sr]k_live_[0-9A-Za-z]{16}", .confirm = confirm_token, .width = 24, .least = 24},
	{.regex = "(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|client[_-]?secret)[\"']?[ \\t]*[:=]", .caseless = true,
	 .confirm = confirm_assignment},
};
const unsigned triggers_count = ARRAY_LEN(triggers);
