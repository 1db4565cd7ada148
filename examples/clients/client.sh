#!/bin/sh
# Submit, poll and work with curl and jq.
#
#     SLUICE_URL=http://127.0.0.1:3000 SLUICE_TOKEN=... ./client.sh submit hello '{"name": "World"}'
#     ./client.sh poll hello 1
#     ./client.sh work hello
set -eu
: "${SLUICE_URL:=http://127.0.0.1:3000}" "${SLUICE_TOKEN:?}"

# call METHOD PATH [curl's options]: the answer. curl repeats what failed for a reason that passes; the token is not in its arguments.
call() {
	method=$1 path=$2
	shift 2
	printf 'header = "Authorization: Bearer %s"\n' "$SLUICE_TOKEN" |
		curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --config - --request "$method" \
			--header 'Content-Type: application/json' "$@" "$SLUICE_URL$path"
}

escaped() {
	jq -rn --arg text "$1" '$text | @uri'
}

submit() {
	# With its key the request may be repeated: it makes one job.
	key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	created=$(call POST "/api/queues/$1/jobs" --header "Idempotency-Key: $key" --data "$(jq -cn --argjson data "$2" '{data: $data}')") || {
		printf '%s\n' "$created" >&2
		return 1
	}
	printf %s "$created" | jq -r .jobId
}

poll() {
	while job=$(call GET "/api/jobs/status/$1/$(escaped "$2")" --header 'Prefer: wait=20'); do
		case $(printf %s "$job" | jq -r .state) in
		completed)
			printf %s "$job" | jq -c .returnvalue
			return
			;;
		failed)
			printf %s "$job" | jq -r .failedReason >&2
			return 1
			;;
		esac
	done
	return 1
}

# The work: replace it by yours. It gets the job's data and prints the result, both JSON.
handle() {
	printf %s "$1" | jq -ce 'if .name then "Hello \(.name)" else error("the name is missing") end' 2>&1
}

# run JOB: a loop beside it keeps the lock, which must live longer than its pause (the queue's lockDuration).
run() {
	token=$(printf %s "$1" | jq -c '{token}')
	path=/api/queues/$(printf %s "$1" | jq -r .queue)/jobs/$(escaped "$(printf %s "$1" | jq -r .id)")
	(while sleep 5; do call POST "$path/heartbeat" --data "$token"; done) >/dev/null 2>&1 &
	keeper=$!
	if result=$(handle "$(printf %s "$1" | jq -c .data)"); then
		how=complete
		body=$(printf %s "$token" | jq -c --argjson value "$result" '. + {returnvalue: $value}')
	else
		how=fail
		body=$(printf %s "$token" | jq -c --arg reason "ERROR: $result" '. + {reason: $reason}')
	fi
	kill "$keeper"
	call POST "$path/$how" --data "$body" >/dev/null || true # 409: it is not ours any more
}

work() {
	stopping=
	trap 'stopping=yes' TERM INT
	while [ -z "$stopping" ]; do
		jobs=$(call POST "/api/queues/$1/lease" --data "$(jq -cn --arg id "${2:-sh-$$}" '{workerId: $id, wait: 2}')") || {
			sleep 1
			continue
		}
		job=$(printf %s "$jobs" | jq -c '.jobs[0] // empty')
		[ -z "$job" ] || run "$job"
	done
}

case ${1-} in
submit | poll | work) "$@" ;;
*)
	echo 'usage: client.sh submit QUEUE JSON | poll QUEUE ID | work QUEUE [WORKER]' >&2
	exit 2
	;;
esac
