# One incident by hand: fetch everything from the three services, check it, pack it, sign it, verify what was made.
# Environment: KILLCHAIN, FORENSIC, DB (base URLs), OUT (a folder), KEY, PUB (PEM files). Argument: the incident's id.
set -euo pipefail
id=$1
work=$OUT/$id
mkdir -p "$work/artifacts"
curl -sf "$KILLCHAIN/api/v1/timeline/$id" | jq -cS . > "$work/timeline.json"
offset=0
while :; do
  page=$(curl -sf -H 'Content-Type: application/json' \
    -d "{\"correlation_id\": \"$id\", \"limit\": 1000, \"offset\": $offset}" "$DB/query/alerts")
  jq -cS '.alerts[]' <<< "$page" >> "$work/alerts.jsonl"
  offset=$((offset + 1000))
  [ "$offset" -lt "$(jq .total <<< "$page")" ] || break
done
curl -sf "$FORENSIC/api/v1/artifacts?incident_id=$id" | jq -cS '.artifacts' > "$work/artifacts.json"
jq -r '.[] | [.artifact_id, .name, .sha256] | @tsv' "$work/artifacts.json" > "$work/list"
curl_args=()
while IFS=$'\t' read -r artifact name _; do
  mkdir -p "$work/artifacts/$artifact"
  curl_args+=(-o "$work/artifacts/$artifact/$name" "$FORENSIC/api/v1/artifacts/$artifact/content")
done < "$work/list"
curl -sf "${curl_args[@]}" # one process, one kept connection
awk -F '\t' '{print $3 "  artifacts/" $1 "/" $2}' "$work/list" | (cd "$work" && sha256sum --quiet -c)
cd "$work"
find artifacts timeline.json alerts.jsonl artifacts.json -type f -print0 | xargs -0 sha256sum > sums
openssl dgst -sha256 -sign "$KEY" -sigopt rsa_padding_mode:pss -out sums.sig sums
tar -cf - artifacts timeline.json alerts.jsonl artifacts.json sums sums.sig | zstd -q -3 -o "$OUT/$id.tar.zst"
# Verified as somebody would who has only the file and the public key.
mkdir unpacked
zstd -q -dc "$OUT/$id.tar.zst" | tar -C unpacked -xf -
cd unpacked
openssl dgst -sha256 -verify "$PUB" -sigopt rsa_padding_mode:pss -signature sums.sig sums > /dev/null
sha256sum --quiet -c sums
rm -r "$work"
