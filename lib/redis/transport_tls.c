#include "lib/redis/transport_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

/* Takes the oldest error off OpenSSL's queue of this thread, empties the rest. */
static const char *tls_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_get_error());
	ERR_clear_error();
	return reason ? reason : "unknown reason";
}

static int load_files(SSL_CTX *ctx, const struct raddr *a, struct err *err)
{
	if (a->tls_ca_file[0] ? !SSL_CTX_load_verify_locations(ctx, a->tls_ca_file, NULL)
	                      : !SSL_CTX_set_default_verify_paths(ctx))
		return err_set(err, ERR_INVALID, "Redis TLS: cannot use the CA file %s: %s", a->tls_ca_file, tls_reason());
	if (!a->tls_cert_file[0])
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, a->tls_cert_file) != 1)
		return err_set(err, ERR_INVALID, "Redis TLS: cannot use %s: %s", a->tls_cert_file, tls_reason());
	if (SSL_CTX_use_PrivateKey_file(ctx, a->tls_key_file, SSL_FILETYPE_PEM) != 1)
		return err_set(err, ERR_INVALID, "Redis TLS: cannot use %s: %s", a->tls_key_file, tls_reason());
	return 0;
}

SSL_CTX *tls_context(const struct raddr *addr, struct err *err)
{
	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx) {
		err_set(err, ERR_NOMEM, "Redis TLS: %s", tls_reason());
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (load_files(ctx, addr, err) < 0) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static bool is_ip(const char *host)
{
	unsigned char scratch[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, host, scratch) == 1 || inet_pton(AF_INET6, host, scratch) == 1;
}

static bool set_names(SSL *ssl, const struct raddr *a)
{
	bool ip = is_ip(a->host);
	if (!ip && SSL_set_tlsext_host_name(ssl, a->host) != 1)
		return false;
	if (a->tls_skip_name)
		return true;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), a->host) == 1 : SSL_set1_host(ssl, a->host) == 1;
}

SSL *tls_session(SSL_CTX *ctx, int fd, const struct raddr *addr, struct err *err)
{
	ERR_clear_error();
	SSL *ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || !set_names(ssl, addr)) {
		err_set(err, ERR_NOMEM, "Redis TLS: %s", tls_reason());
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

/* 0 when the operation only has to wait (then *want says for what), else ERR_IO. */
static int tls_outcome(SSL *ssl, int rc, enum tls_want *want, struct err *err)
{
	switch (SSL_get_error(ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		*want = TLS_WANT_READ;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		*want = TLS_WANT_WRITE;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return err_set(err, ERR_IO, "Redis closed the connection");
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return errno ? err_errno(err, "Redis TLS") : err_set(err, ERR_IO, "Redis closed the connection");
	default:
		return err_set(err, ERR_IO, "Redis TLS: %s", tls_reason());
	}
}

int tls_handshake(SSL *ssl, enum tls_want *want, struct err *err)
{
	ERR_clear_error();
	errno = 0;
	*want = TLS_WANT_NOTHING;
	int rc = SSL_do_handshake(ssl);
	if (rc == 1)
		return 1;
	struct err detail = {0};
	if (tls_outcome(ssl, rc, want, &detail) == 0)
		return 0;
	long verdict = SSL_get_verify_result(ssl);
	if (verdict != X509_V_OK)
		return err_set(err, ERR_UNAVAILABLE, "Redis TLS: the certificate is refused: %s",
		               X509_verify_cert_error_string(verdict));
	return err_set(err, ERR_UNAVAILABLE, "%s", detail.text);
}

ssize_t tls_read(SSL *ssl, void *p, size_t n, enum tls_want *want, struct err *err)
{
	ERR_clear_error();
	errno = 0;
	*want = TLS_WANT_NOTHING;
	size_t got = 0;
	int rc = SSL_read_ex(ssl, p, n, &got);
	return rc == 1 ? (ssize_t)got : tls_outcome(ssl, rc, want, err);
}

ssize_t tls_write(SSL *ssl, const void *p, size_t n, enum tls_want *want, struct err *err)
{
	ERR_clear_error();
	errno = 0;
	*want = TLS_WANT_NOTHING;
	size_t put = 0;
	int rc = SSL_write_ex(ssl, p, n, &put);
	return rc == 1 ? (ssize_t)put : tls_outcome(ssl, rc, want, err);
}
