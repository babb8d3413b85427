# Each test is a file: it passes when it ends well.
number=0
failed=0
for file in sh/tests/*.sh; do
	number=$((number + 1))
	if sh "$file" >&2; then
		echo "ok $number - $file"
	else
		echo "not ok $number - $file"
		failed=1
	fi
done
echo "1..$number"
exit "$failed"
