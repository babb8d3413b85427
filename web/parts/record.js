// record: the signed statement of a verdict: what it says, who signed it, and a check of the signature in this very page.

import {h} from '../dom.js';
import {address, text} from '../api.js';
import {bytes} from '../format.js';
import {button, command, toast} from './controls.js';
import {icon} from './marks.js';

const encoder = new TextEncoder();
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const unbase64 = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));

function signedBytes(envelope, payload) {
	const head = encoder.encode(`DSSEv1 ${encoder.encode(envelope.payloadType).length} ${envelope.payloadType} ${payload.length} `);
	const all = new Uint8Array(head.length + payload.length);

	all.set(head);
	all.set(payload, head.length);
	return all;
}

async function checkSignature(envelope, payload, pem) {
	try {
		const key = await crypto.subtle.importKey('spki', unbase64(pem.replace(/-----[^-]+-----|\s/g, '')), {name: 'Ed25519'}, false, ['verify']);

		return (await crypto.subtle.verify('Ed25519', key, unbase64(envelope.signatures[0].sig), signedBytes(envelope, payload))) ? 'valid' : 'wrong';
	} catch {
		return 'unchecked'; // a browser without Ed25519
	}
}

/** {statement, key_id, digest, signature: valid|wrong|unchecked, size} */
export async function readRecord(text, pem) {
	const envelope = JSON.parse(text);
	const payload = unbase64(envelope.payload);

	return {
		statement: JSON.parse(new TextDecoder().decode(payload)), key_id: envelope.signatures?.[0]?.keyid ?? '', size: text.length,
		digest: hex(await crypto.subtle.digest('SHA-256', payload)), signature: pem ? await checkSignature(envelope, payload, pem) : 'unchecked',
	};
}

const SIGNATURE = {
	valid: ['ok', 'The signature is valid: checked in this page with the key of this server.'],
	wrong: ['bad', 'The signature is WRONG: this record was changed after it was signed, or another key signed it.'],
	unchecked: ['calm', 'This browser cannot check the signature; the command below can.'],
};

/** Reads record and key again, and says what comes of it. */
async function verify(run) {
	const [envelope, key] = await Promise.all([text(`/runs/${encodeURIComponent(run)}/record`), text('/records/key')]);
	const {signature} = await readRecord(envelope, key);

	toast(`${new Date().toLocaleTimeString()}: ${SIGNATURE[signature][1]}`, signature === 'wrong' ? 'bad' : 'calm');
}

export function recordView(record, run) {
	if (!record)
		return h('p.quiet', 'There is no record: nothing was signed for this run.');
	const [tone, words] = SIGNATURE[record.signature];
	const subjects = record.statement.subject ?? [];
	const fact = (name, value) => [h('dt', name), h('dd', value)];

	return h('div.record', h(`p.signature.${tone}`, icon('seal'), words),
		h('dl.facts', fact('Statement', h('code', record.statement.predicateType ?? '')), subjects.map((subject) => fact('About', h('code', `${subject.name} @ ${subject.digest?.gitCommit ?? ''}`))), fact('Key', h('code', record.key_id)),
			fact('Digest', h('code', `sha256:${record.digest}`))),
		h('div.row', button('Verify again', () => verify(run), {mark: 'seal', key: 'verify record'}), h('a.button', {href: address(`/runs/${encodeURIComponent(run)}/record`), download: `${run}.intoto.json`}, icon('download'), `Download (${bytes(record.size)})`)),
		h('p.quiet', 'Check it yourself, here or anywhere the public key is known:'), command(`assay record verify ${run}.intoto.json`));
}
