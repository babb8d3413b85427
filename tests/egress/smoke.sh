set -u
cat $STAGE/names 2>/dev/null
curl -sS --cacert $ASSAY_CA https://ok.test/hello -d 'abc' ; echo "rc $?"
curl -sS --cacert $ASSAY_CA https://ok.test/hello https://ok.test/again -H 'Proxy-Connection: x' | head -30; echo "rc $?"
