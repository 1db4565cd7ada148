-- What was changed in one organization, the newest first.
CREATE INDEX audit_org ON sluice.audit (prefix, org, seq);
