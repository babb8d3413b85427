"""The ballot: a page with two buttons; each vote goes onto a list in Redis."""
import json
import os
import secrets

from flask import Flask, make_response, render_template_string, request
from redis import Redis

OPTIONS = (os.environ["OPTION_A"], os.environ["OPTION_B"])
PAGE = """<!doctype html><title>{{ a }} or {{ b }}?</title>
<form method="post"><button name="vote" value="a">{{ a }}</button> <button name="vote" value="b">{{ b }}</button></form>
{% if vote %}<p>You voted for {{ vote }}.</p>{% endif %}"""

app = Flask(__name__)
redis = Redis(host="redis", socket_timeout=5)


@app.route("/", methods=["GET", "POST"])
def ballot():
    voter = request.cookies.get("voter_id") or secrets.token_hex(8)
    choice = None
    if request.method == "POST":
        choice = OPTIONS["ab".index(request.form["vote"])]
        redis.rpush("votes", json.dumps({"voter_id": voter, "vote": request.form["vote"]}))
    response = make_response(render_template_string(PAGE, a=OPTIONS[0], b=OPTIONS[1], vote=choice))
    response.set_cookie("voter_id", voter)
    return response
