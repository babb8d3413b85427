. sh/words.sh
[ "$(echo | words)" = 0 ]
