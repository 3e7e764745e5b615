#!/usr/bin/env bash
# Runs PouchDB's own mocha suites in Node against any CouchDB-style server.
#   pouch-suite.sh BASE_URL OUT.json
# BASE_URL may carry credentials (http://admin:pw@127.0.0.1:5984).
# Needs: $POUCHDB_DIR = a checkout of PouchDB with its dependencies (no browser downloads) and its Node bundle built.
# Environment:
#   POUCH_SUITES   what to run, default "integration find mapreduce"
#                  (also known: fuzzy, integration-http = everything forced to http)
#   POUCH_TIMEOUT  per-test timeout in ms (default 10000)
#   POUCH_MAX_SECS hard limit per suite (default 1500); POUCH_FILE_SECS per integration file (400)
#   POUCH_GREP     mocha --grep pattern;  POUCH_INVERT=1 inverts it
#   POUCH_FILES    glob below tests/integration etc. (default test.*.js)
#   POUCH_SERVER   value given to the suite as SERVER (default couchdb-master: enables
#                  the tests that PouchDB keeps for a real CouchDB)
#   POUCH_LOCAL    local adapter for integration: "" = leveldb (default), or memory
# Exit status: 0 all passed, 1 some failed, 2 could not run.
set -u
{ # read whole before it runs, so that editing this file does not disturb a run
base=${1:?usage: pouch-suite.sh BASE_URL OUT.json}; out=${2:?usage: pouch-suite.sh BASE_URL OUT.json}
base=${base%/}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${POUCHDB_DIR:?set POUCHDB_DIR to a built PouchDB checkout}"
POUCHDB_DIR=$(cd "$POUCHDB_DIR" && pwd); export POUCHDB_DIR
[ -x "$POUCHDB_DIR/node_modules/.bin/mocha" ] || { echo "no mocha in $POUCHDB_DIR (npm install first)" >&2; exit 2; }
[ -f "$POUCHDB_DIR/packages/node_modules/pouchdb/lib/index.js" ] || { echo "$POUCHDB_DIR is not built (npm run build-node)" >&2; exit 2; }
mkdir -p "$(dirname "$out")"; out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
curl -fsS -o /dev/null --max-time 10 "$base/" || { echo "no server at $base" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/pouch-suite.XXXXXX")
down_pid=
cleanup() { [ -n "$down_pid" ] && kill "$down_pid" 2>/dev/null; [ -n "${POUCH_KEEP:-}" ] || rm -rf "$work"; }
trap cleanup EXIT
# A private working directory: the suites write ./tmp and remove it at exit, and read ./tests/...
for d in tests packages bin node_modules package.json; do ln -s "$POUCHDB_DIR/$d" "$work/$d"; done
POUCHDB_REV=$(git -C "$POUCHDB_DIR" rev-parse HEAD 2>/dev/null); export POUCHDB_REV

# One replication test wants a server that only ever answers 500 on port 3010.
if ! (: < /dev/tcp/127.0.0.1/3010) 2>/dev/null; then
  node -e 'require("http").createServer((q,s)=>{s.writeHead(500,{"Content-Type":"application/json"});s.end("{}")}).listen(3010,"127.0.0.1")' & down_pid=$!
fi

export COUCH_HOST=$base CLIENT=node VIEW_ADAPTERS=memory SERVER=${POUCH_SERVER:-couchdb-master} SKIP_MIGRATION=1
args=()
for suite in ${POUCH_SUITES:-integration find mapreduce}; do
  files=${POUCH_FILES:-test.*.js}
  unset ADAPTERS PLUGINS; type=$suite
  case $suite in
    integration) glob="tests/integration/$files"; [ -n "${POUCH_LOCAL:-}" ] && export ADAPTERS=$POUCH_LOCAL ;;
    integration-http) glob="tests/integration/$files"; export ADAPTERS=http; type=integration ;;
    find) glob="tests/find/*/$files"; export ADAPTERS=http PLUGINS=pouchdb-find ;;
    mapreduce) glob="tests/mapreduce/$files"; export ADAPTERS=http ;;
    fuzzy) glob="tests/fuzzy/$files" ;;
    *) echo "unknown suite $suite" >&2; exit 2 ;;
  esac
  ev="$work/$suite.jsonl"; log="${out%.json}.$suite.log"; t0=$SECONDS; rc=0; : > "$log"
  echo "== $suite -> $log"
  # integration: one mocha per file, so that a file which takes mocha down costs only itself.
  # Its global-hook file is left out (a failing root hook would end the whole run): mocha's own
  # handling of unhandled rejections then fails the test that was running instead.
  mapfile -t all < <(cd "$work" && shopt -s nullglob && for f in $glob; do [ "${f##*/}" = test.setup_global_hooks.js ] || echo "$f"; done)
  one() { ( cd "$work" && mkdir -p tmp && POUCH_EVENTS=$ev TYPE=$type timeout -k 10 "$1" \
      ./node_modules/.bin/mocha --exit --no-bail --timeout "${POUCH_TIMEOUT:-10000}" \
      --require=./tests/integration/node.setup.js --reporter="$here/pouch-reporter.cjs" \
      --grep="${POUCH_GREP:-}" ${POUCH_INVERT:+--invert} "${@:2}" ) >> "$log" 2>&1; }
  if [ "$type" = integration ]; then
    for f in "${all[@]}"; do
      left=$(( ${POUCH_MAX_SECS:-1500} - SECONDS + t0 )); [ $left -gt 5 ] || { echo "out of time before $f" | tee -a "$log"; rc=124; break; }
      for _ in $(seq 40); do curl -fsS -o /dev/null --max-time 5 "$base/" 2>/dev/null && break; sleep 0.5; done
      one "$(( left < ${POUCH_FILE_SECS:-400} ? left : ${POUCH_FILE_SECS:-400} ))" "$f"; r=$?; [ $r -gt 123 ] && rc=$r
    done
  else
    one "${POUCH_MAX_SECS:-1500}" "${all[@]}"; rc=$?
  fi
  args+=("$suite=$ev:$rc:$((SECONDS-t0))")
done
node "$here/pouch-summarise.cjs" "$out" "$base" "${args[@]}" || exit 2
node -e 'const r=require(process.argv[1]);process.exit(r.totals.failed||Object.values(r.suites).some(s=>!s.complete)?1:0)' "$out"
exit $?
}
