#!/bin/bash
# What `make run` starts: the gateway on stores of its own, with settings for a developer's machine, and a page that says how to use it.
#
# The environment and .env decide first. What they leave open: the embedded Redis also listens on loopback, with a password, so that
# redis-cli and BullMQ programs can join; anybody on this machine may make a token; the queues of examples/queues.json are declared; there
# is a document to try things with; notifications become files in var/outbox until a way to send them is set.
set -euo pipefail
cd "$(dirname "$0")/.."
SLUICE=${SLUICE_BIN:-$PWD/build/sluice} # tests name theirs
unset SLUICE_BIN

# The value that the gateway will see, empty when there is none.
setting() {
	if [ -n "${!1-}" ]; then
		printf '%s' "${!1}"
	elif [ -r .env ]; then
		sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$1=[\"']?([^\"']*)[\"']?[[:space:]]*\$/\\2/p" .env | tail -n 1
	fi
}

preset() {
	[ -n "$(setting "$1")" ] || export "$1=$2"
}

free_port() {
	local port=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
		port=$((port + 1))
	done
	echo "$port"
}

data_dir=$(setting DATA_DIR)
data_dir=${data_dir:-./var}
mkdir -p "$data_dir"

embedded=no
if [ -z "$(setting REDIS_URL)$(setting REDIS_URL_FILE)$(setting REDIS_HOST)$(setting REDIS_SENTINELS)" ]; then
	embedded=yes
	password_file=$(setting REDIS_PASSWORD_FILE)
	if [ -z "$password_file" ]; then
		password_file=$data_dir/redis-password
		[ -s "$password_file" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$password_file")
		preset REDIS_PASSWORD "$(cat "$password_file")"
	fi
	preset SLUICE_REDIS_LISTEN "127.0.0.1:$(free_port 6379)"
fi
preset SLUICE_QUEUES "$PWD/examples/queues.json"
case $(setting HOST) in '' | 127.* | localhost) preset DEV_LOGIN 1 ;; esac
[ -n "$(setting SLUICE_SMTP_URL)$(setting SLUICE_SLACK_WEBHOOK_URL)$(setting SLUICE_SMS_ACCOUNT_SID)" ] || preset SLUICE_NOTIFY_DRY_RUN 1
preset SLUICE_SAMPLE_DOCUMENT 1
preset LOG_FORMAT text

welcome() {
	local url=$1 login=$2 token listen password
	token=$("$SLUICE" token --sub "${USER:-developer}" --role admin)
	cat <<END

  Sluice is at $url                                             (Ctrl-C stops it; its data stays in $data_dir)
${login:+
  Open the web page (this link signs you in, once, within ten minutes):
    $login
}
  A token (administrator, 24 hours):
    $token

  Add a job:
    curl -s $url/api/queues/hello/jobs -H 'Content-Type: application/json' -d '{"name":"greet","data":{"name":"World"}}' -H 'Authorization: Bearer $token'
END
	[ "$embedded" = yes ] || return 0
	listen=$(setting SLUICE_REDIS_LISTEN)
	password=$(setting REDIS_PASSWORD)
	password=${password:-$(cat "$password_file")}
	cat <<END

  Work on it with BullMQ in Node:
    cd "\$(mktemp -d)" && npm install --silent --no-fund bullmq@6.7.0 ioredis@5 && node -e '
      const { Worker } = require("bullmq");
      const connection = { host: "${listen%:*}", port: ${listen##*:}, password: "$password" };
      new Worker("hello", async (job) => { console.log(job.id, job.data); return "Hello " + job.data.name; }, { connection });'

  Look into Redis:
    REDISCLI_AUTH=$password redis-cli -h ${listen%:*} -p ${listen##*:} --scan --pattern 'bull:*'

END
}

# Passes the log on; when the gateway listens, says how to use it.
follow() {
	trap '' INT TERM HUP
	local line url login shown=no
	while IFS= read -r line; do
		printf '%s\n' "$line"
		if [ $shown = no ] && [[ $line =~ listening.*url[\"]?[=:][\"]?(http://[^\"[:space:]]+) ]]; then
			shown=yes
			url=${BASH_REMATCH[1]} login=
			[[ $line =~ login[\"]?[=:][\"]?(http://[^\"[:space:]]+) ]] && login=${BASH_REMATCH[1]}
			welcome "$url" "$login"
		fi
	done
}

exec "$SLUICE" serve "$@" > >(follow) 2>&1
