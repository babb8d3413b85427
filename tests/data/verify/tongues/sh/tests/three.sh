. sh/words.sh
[ "$(echo a b c | words)" = 3 ]
