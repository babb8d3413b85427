# Counts the words of its input.
words() { wc -w | tr -d ' '; }
