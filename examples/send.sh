#!/bin/sh
# Sends one message to one spark of a metroplex cluster with curl and openssl: what PROTOCOL.md says, step by step.
#
#   sh examples/send.sh [options] SPARK '{"hello":"world"}'
#
#   --redis URL        where the registry is; asked with redis-cli          (redis://127.0.0.1:6379)
#   --namespace NAME   the cluster's                                        (metroplex)
#   --secret SECRET    the one that the servers were given; METROPLEX_SECRET does the same  (what they have agreed upon in Redis)
#   --address URL      the server that holds the spark, like http://10.0.0.5:8080           (found in Redis)
#   --pathname PATH    Primus's path there                                  (found in Redis; /primus with --address)
#
# With --address and --secret it needs no redis-cli. openssl takes the secret as an argument, so other users of this machine can see it in the
# list of processes for a moment. send.py hides it.
# Ends with 0 when the spark was handed the message, with 1 when it was not, with 2 when it was asked something that it does not understand.
set -u
LC_ALL=C
export LC_ALL

redis=redis://127.0.0.1:6379 namespace=metroplex secret=${METROPLEX_SECRET:-} address='' pathname=''

say() { printf '%s\n' "$1" >&2; exit "${2:-1}"; }
usage() { sed -n '2,/^set /{s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }

while [ $# -gt 2 ]; do
  case $1 in
    --redis) redis=$2 ;;
    --namespace) namespace=$2 ;;
    --secret) secret=$2 ;;
    --address) address=$2 ;;
    --pathname) pathname=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ $# -eq 2 ] || usage
spark=$1 message=$2
case $spark in ''|*[!a-zA-Z0-9_.:-]*) say "This example takes ids of letters, digits and _.:- alone; given: $spark." 2 ;; esac
case $message in *'
'*) say 'The message must be JSON on one line.' 2 ;; '"primus::'*) say "A message must not begin with primus::, which Primus's clients take for protocol." 2 ;; esac
for tool in curl openssl; do command -v $tool > /dev/null || say "This needs $tool."; done

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

# Where the spark is, and what the servers sign with.

ask() { redis-cli -u "$redis" --raw "$@" 2> "$folder/redis" || say "Redis could not be asked: $(cat "$folder/redis")"; }
if [ -z "$address" ]; then
  address=$(ask HGET "$namespace:sparks" "$spark") || exit 1
  [ -n "$address" ] || say "No server has a spark $spark in the namespace $namespace."
  life=$(ask HMGET "$namespace:$address:life" state protocol transport pathname) || exit 1
  lease=$(ask EXISTS "$namespace:$address:lease") || exit 1
  case "$lease $(printf '%s' "$life" | tr '\n' ' ')" in
    '1 up 2 http '*) pathname=${pathname:-$(printf '%s\n' "$life" | sed -n 4p)} ;;
    *) say "$address does not live any more, or does not speak protocol 2 over http." ;;
  esac
fi
pathname=${pathname:-/primus}
if [ -z "$secret" ]; then
  agreed=$(ask GET "$namespace:secret") || exit 1
  # When they agreed, and upon what.
  secret=${agreed#* }
fi
[ -n "$secret" ] || say 'The cluster has agreed upon no secret in Redis: give the one that its servers were given, with --secret.'

# Signing: HMAC-SHA256 over all fields, each with its length in bytes before it.

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
word() { openssl rand 12 | base64url; }
digest() { openssl dgst -sha256 -binary "$1" | base64url; }
sign() { for field; do printf '%s:%s,' ${#field} "$field"; done | openssl dgst -sha256 -hmac "$secret" -binary | base64url; }

# ask_peer TYPE NUMBER FILE, in the session $session with $to: says what is answered in $folder/answer, or ends with a sentence.

me=$(word)
ask_peer() {
  sum=$(digest "$3")
  signature=$(sign metroplex/2 request "$namespace" "$me" "$to" "$session" "$2" "$1" "$sum")
  attempt=1
  # With the same number each time: what has been carried out is not carried out again.
  until status=$(curl -sS --noproxy '*' --max-time 2 -X PUT -H "metroplex: 2 $me $to $session $2 $sum $signature" -H "content-type: $1" -H 'expect:' \
    --data-binary "@$3" -D "$folder/headers" -o "$folder/answer" -w '%{http_code}' "$address$pathname/metroplex" 2> "$folder/curl"); do
    [ $attempt -lt 3 ] || say "$address did not answer: $(cat "$folder/curl")$([ "$2" = 0 ] || printf '. Whether it has arrived is not known.')"
    attempt=$((attempt + 1))
    sleep 0.2
  done
  reason=$(sed -n 's/.*"reason":"\([^"]*\)".*/\1/p' "$folder/answer")
  [ "$status" != 401 ] || say "$address refuses our signature: $reason Give the secret of the cluster with --secret, and its --namespace."
  genuine "$2" || say "$address did not sign its answer with the secret of the cluster ($status): $reason"
  [ "$status" = 200 ] || say "$address refused ($status): $reason"
}

header() { tr -d '\r' < "$folder/headers" | grep -i "^$1: " | tail -n 1 | cut -d ' ' -f 2-; }

# Whether what was answered is that server's answer to this very request.
genuine() {
  # shellcheck disable=SC2046
  set -- "$1" $(header metroplex)
  [ $# -eq 8 ] && [ "$2 $4 $6" = "2 $me $1" ] || return 1
  [ "$1" = 0 ] || [ "$3 $5" = "$to $session" ] || return 1
  [ "$7" = "$(digest "$folder/answer")" ] || return 1
  [ "$8" = "$(sign metroplex/2 answer "$namespace" "$3" "$4" "$5" "$6" "$(header content-type)" "$7" "$status" "$signature")" ] || return 1
  peer=$3 agreed=$5
}

# Hello: who answers there, and in which session we go on. Our word is new, so the session is, and its first batch has the number 1.

to=$address session=$(word)
: > "$folder/hello"
ask_peer application/vnd.metroplex.hello 0 "$folder/hello"
to=$peer session=$agreed

# The batch: a line with an entry for each message, an action and its recipients; then a line for each message.

printf '[["some",["%s"]]]\n%s\n' "$spark" "$message" > "$folder/batch"
ask_peer application/vnd.metroplex.batch 1 "$folder/batch"
case $(cat "$folder/answer") in
  '[1]') printf '%s\n' "$address has handed it to $spark." ;;
  '[[0,'*) say "$address does not have the spark $spark any more." ;;
  *) say "$address could not carry it out: $(cat "$folder/answer")" ;;
esac
