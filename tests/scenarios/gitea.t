#!/bin/bash
# A project at Gitea, played by a fake that holds every request and answer against the types of Gitea's client; Forgejo's headers come beside its own.
# shellcheck disable=SC2034
FORGE=gitea
TOKEN=gitea-ffffffffffffffffffffffffffffffffff
SECRETS='{"token": "gitea-ffffffffffffffffffffffffffffffffff", "webhook_secret": "hush"}'
MISSING='event pull_request_review'
FAULTS='GIT.push.POST lost
GIT.push.GET git503
POST.*/pulls$ lost
POST.*/statuses/ lost
POST.*/comments$ lost
GET.*/collaborators/ limit
GET.*/pulls$ html502'
# shellcheck source=tests/scenarios/forge.sh
. "${SOURCE_ROOT:?}/tests/scenarios/forge.sh"
