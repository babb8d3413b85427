# The agent: what it does follows from a word in its prompt. What it says tries to be more than text.
prompt=$(cat)
echo '{"type": "start", "session": "s1", "model": "tiny"}'
echo '{"type": "plan", "items": [{"text": "Do it <b>now</b>", "state": "in_progress"}]}'
echo '{"type": "thought", "text": "A thought in \u001b[31mred and <img src=x onerror=\"window.pwned=1\">"}'

test_add() {
	printf '\n    def test_it_ends_with_%s(self):\n        self.assertEqual(greeting.hello(), "%s")\n' "$1" "$2" >>test/test_greeting.py
}

case $prompt in
*'Think for long'*)
	echo '{"type": "thought", "text": "thinking"}'
	sleep 100
	;;
*'Break it'*)
	printf 'def hello():\n    return "bye"\n' >greeting.py
	;;
*'Louder still'*)
	printf 'def hello():\n    return "hello!!"\n' >greeting.py
	sed -i 's/"hello!"/"hello!!"/' test/test_greeting.py
	;;
*)
	printf 'def hello():\n    return "hello!"\n' >greeting.py
	test_add one_mark 'hello!'
	;;
esac
echo '{"type": "action", "id": "1", "tool": "Edit", "title": "Edit greeting.py", "detail": "<script>window.pwned=1</script>"}'
echo '{"type": "observation", "id": "1", "ok": true, "text": "changed"}'
echo '{"type": "message", "text": "It is done."}'
echo '{"type": "end", "ok": true, "text": ""}'
