#!/bin/bash
# A repository, and an agent in it, that try to run something on the host or to reach its files while Assay works with them: hooks,
# filters, fsmonitor, textconv, submodules, symlinks out of the tree, odd names, huge files. PROOF appears on the host if one succeeds.
# shellcheck source=tests/scenarios/tap.sh
. "${SOURCE_ROOT:?}/tests/scenarios/tap.sh"
# shellcheck source=tests/scenarios/serve.sh
. "$SOURCE_ROOT/tests/scenarios/serve.sh"

PROOF=$WORK/proof SECRET=$WORK/secret
mkdir -p "$PROOF" && chmod 1777 "$PROOF"
echo 'a secret of the host' >"$SECRET"
shop=$WORK/shop
mkdir -p "$shop"
cd "$shop" || exit 1

cat >assay.yaml <<'YAML'
version: 1
name: hostile
services:
  web:
    run: [python3, -m, http.server, "8080"]
    port: 8080
    ready: tcp
agent: {use: command, run: sh agent.sh, format: text}
YAML

# What the agent does in its checkout: everything that git can be told to run, then a change.
cat >agent.sh <<SH
cat >/dev/null
for hook in applypatch-msg commit-msg post-checkout post-commit post-index-change post-merge post-rewrite pre-auto-gc pre-commit \
	pre-push pre-receive prepare-commit-msg push-to-checkout reference-transaction update post-update post-receive; do
	mkdir -p .git/hooks
	printf '#!/bin/sh\ntouch $PROOF/agent-hook\n' >.git/hooks/\$hook
	chmod +x .git/hooks/\$hook
done
git config core.fsmonitor 'touch $PROOF/agent-fsmonitor; :'
git config core.sshCommand 'touch $PROOF/agent-ssh'
git config core.pager 'touch $PROOF/agent-pager'
git config core.gitProxy 'touch $PROOF/agent-proxy'
git config uploadpack.packObjectsHook 'touch $PROOF/agent-pack'
git config diff.evil.textconv 'touch $PROOF/agent-textconv'
git config diff.external 'touch $PROOF/agent-diff'
git config merge.evil.driver 'touch $PROOF/agent-merge'
git config credential.helper '!touch $PROOF/agent-credential'
git config gpg.program 'touch $PROOF/agent-gpg'
git config commit.gpgSign false
printf '* diff=evil merge=evil\n' >.gitattributes
ln -s $SECRET stolen
ln -s /etc/shadow shadow
ln -s ../../../../../../../..$SECRET further
mkdir -p 'a folder' && printf 'x\n' >'a folder/--upload-pack=touch $WORK' 2>/dev/null
printf 'x\n' >"\$(printf 'new\nline')"
printf 'x\n' >"\$(printf 'bell\007 and \033[31mred')"
printf 'x\n' >-rf
printf 'x\n' >'<img src=x onerror=alert(1)>'
printf 'x\n' >"\$(head -c 250 /dev/zero | tr '\0' n)"
deep=.; for level in \$(seq 60); do deep=\$deep/d; done; mkdir -p \$deep && printf 'deep\n' >\$deep/file
head -c 20000000 /dev/zero >large
echo 'the agent was here'
SH

# The person's checkout is hostile as well: a cloned folder with a prepared .git.
printf '* filter=evil diff=evil\n' >.gitattributes
ln -s "$SECRET" secret.txt
repository "$shop"
for hook in post-checkout pre-commit post-update reference-transaction upload-pack post-upload-pack; do
	printf '#!/bin/sh\ntouch %s/hook\n' "$PROOF" >".git/hooks/$hook"
	chmod +x ".git/hooks/$hook"
done
git config filter.evil.clean "touch $PROOF/clean; cat"
git config filter.evil.smudge "touch $PROOF/smudge; cat"
git config filter.evil.process "touch $PROOF/process"
git config core.fsmonitor "touch $PROOF/fsmonitor; :"
git config uploadpack.packObjectsHook "touch $PROOF/pack-objects"
git config core.sshCommand "touch $PROOF/ssh"
git config diff.external "touch $PROOF/diff"
git config remote.origin.url "ext::sh -c touch% $PROOF/remote"
git config remote.origin.promisor true
git config remote.origin.uploadpack "touch $PROOF/lazy"
git config extensions.partialClone origin
git config core.alternateRefsCommand "touch $PROOF/alternate"

ok 'the server starts' serve_start
ok 'an environment of it comes up' "$ASSAY" env up --name hostile
is 'nothing of it ran on the host' "$(ls -A "$PROOF")" ''
is 'a symlink out of the tree leads nowhere in a sandbox' "$("$ASSAY" env exec hostile cat /workspace/secret.txt 2>/dev/null)" ''
is 'nor does the host show behind it' "$("$ASSAY" env exec --root hostile sh -c "cat $SECRET /etc/shadow /root/.bashrc 2>/dev/null")" ''
ok 'it goes down' "$ASSAY" env down hostile

"$ASSAY" run 'Do something' --json >"$WORK/run.json" 2>"$WORK/run.log"
run=$(api GET /runs | jq -r '.items[0].id')
is 'the agent worked' "$(grep -c 'the agent was here' "$WORK/run.json" | sed 's/^[1-9].*/some/')" some
is 'nothing that it left in .git ran on the host' "$(ls -A "$PROOF")" ''
pull=$(api GET "/runs/$run" | jq -r .pull)
head=$(api GET "/pulls/$pull" | jq -r .head)
like 'its work is a commit' "$head" '^[0-9a-f]{40}$'
bare=$ASSAY_STATE/repos/hostile.git
is 'a symlink came as a symlink, not as what it points to' "$(git --git-dir="$bare" ls-tree "$head" stolen | cut -d' ' -f1)" 120000
is 'the secret is in no object of it' "$(git --git-dir="$bare" log -p --all 2>/dev/null | grep -c 'a secret of the host')" 0
ok 'the diff is shown with names as they are' sh -c "'$ASSAY' pull diff $pull >'$WORK/diff'"
is 'without control characters for the terminal' "$(LC_ALL=C grep -c $'[\a\e]' "$WORK/diff")" 0
is 'the repository of ours has no hook and no filter' "$(ls -A "$bare/hooks" 2>/dev/null; git config --file "$bare/config" --get-regexp 'filter|hook|fsmonitor|textconv')" ''

api POST "/pulls/$pull/merge" '{"force": true}' >/dev/null
is 'merging it runs nothing either' "$(ls -A "$PROOF")" ''

# Submodules whose URLs are commands never get as far as our repository.
mkdir "$WORK/sub" && cd "$WORK/sub" || exit 1
cp "$shop/assay.yaml" .
printf '[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "touch %s/submodule"\n[submodule "t"]\n\tpath = t\n\turl = -u./x\n' "$PROOF" >.gitmodules
repository "$PWD"
said=$("$ASSAY" env up 2>&1)
is 'submodules that are commands are refused' "$?" 1
like 'with the reason' "$said" 'gitmodulesUrl'

# A symlink where Assay reads a file of the repository is no file.
cd "$WORK" && mkdir linked && cd linked || exit 1
ln -s "$SECRET" assay.yaml
repository "$PWD"
said=$("$ASSAY" env up 2>&1)
is 'a blueprint that is a symlink is refused' "$?" 1
is 'not one word of it' "$(grep -c 'a secret of the host' <<<"$said")" 0

is 'at the end nothing has run on the host' "$(ls -A "$PROOF")" ''
serve_stop
comes 'and nothing is left behind' '' left_behind
done_testing
