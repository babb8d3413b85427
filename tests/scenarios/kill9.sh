# The application of kill9.t: one service with PostgreSQL, a test suite, and a scripted agent that adds a function and its test. Sourced.
# shellcheck shell=bash

# tiny_repository FOLDER
tiny_repository() {
	mkdir -p "$1/test"
	cat >"$1/assay.yaml" <<-'END'
		version: 1
		name: tiny
		services:
		  web:
		    run: [/usr/bin/python3, web.py]
		    port: 8080
		    ready: /
		    needs: [db]
		databases:
		  db: {engine: postgres, database: tiny, user: tiny, seed: seed.sql}
		tests:
		  unit:
		    run: sh check.sh
		    report: report.tap
		    files: ["test/**"]
		agent:
		  use: command
		  run: sh agent.sh
		  format: text
		  timeout: 60s
	END
	echo 'CREATE TABLE words (word text); INSERT INTO words VALUES ('"'hello'"');' >"$1/seed.sql"
	cat >"$1/words.py" <<-'END'
		"""What can be done with a word."""


		def greeting(word):
		    return word + ", world"
	END
	cat >"$1/web.py" <<-'END'
		"""Greets with the word that PostgreSQL holds."""
		import http.server
		import os

		import psycopg2

		from words import greeting


		class Answer(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        with psycopg2.connect(os.environ["DB_URL"], connect_timeout=5) as database, database.cursor() as cursor:
		            cursor.execute("SELECT word FROM words")
		            body = greeting(cursor.fetchone()[0]).encode()
		        self.send_response(200)
		        self.send_header("Content-Length", str(len(body)))
		        self.end_headers()
		        self.wfile.write(body)


		http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Answer).serve_forever()
	END
	echo 'from words import greeting; assert greeting("hello") == "hello, world"' >"$1/test/greeting.py"
	cat >"$1/check.sh" <<-'END'
		# Runs each test/*.py and reports in TAP.
		n=0
		failed=0
		for file in test/*.py; do
			n=$((n + 1))
			PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. /usr/bin/python3 "$file" && result=ok || { result='not ok'; failed=1; }
			echo "$result $n - $file"
		done >report.tap
		echo "1..$n" >>report.tap
		exit $failed
	END
	cat >"$1/agent.sh" <<-'END'
		# The agent: adds shout() with its test. Running it again changes nothing more.
		cat >/dev/null
		echo "I add shout() to words.py."
		grep -q 'def shout' words.py || printf '\n\ndef shout(word):\n    return word.upper() + "!"\n' >>words.py
		sleep 0.3
		echo 'from words import shout; assert shout("hello") == "HELLO!"' >test/shout.py
		sh check.sh && echo "All tests pass."
		rm -f report.tap
	END
	printf '__pycache__/\nreport.tap\n' >"$1/.gitignore"
	git -C "$1" init --quiet --initial-branch main
	git -C "$1" add --all
	git -C "$1" -c user.name=test -c user.email=test@localhost commit --quiet --message 'tiny: as it is'
}
