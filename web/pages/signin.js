// signin: who comes from elsewhere says who it is, by a token.

import {h} from '../dom.js';
import {signIn} from '../api.js';
import {button, command} from '../parts/controls.js';

export function signInPage(then, provider) {
	const enter = async () => {
		const box = document.getElementById('token');

		await signIn(box.value.trim());
		box.value = '';
		then();
	};
	const keys = (event) => {
		if (event.key === 'Enter') {
			event.preventDefault();
			document.querySelector('[data-key="sign in"]').click();
		}
	};

	return [h('div.page-head', h('h1', 'Sign in'), h('p.lead', 'This server wants to know who looks.')),
		h('form.card.form', {on: {submit: (event) => event.preventDefault()}}, h('label', {for: 'token'}, 'Token'), h('input', {id: 'token', type: 'password', autocomplete: 'current-password', spellcheck: 'false', on: {keydown: keys}}),
			h('div.row', button('Sign in', enter, {kind: 'primary', key: 'sign in'}))),
		...(provider ? [h('section', h('p', h('a', {href: '/signin/oidc'}, 'Sign in with your organisation')))] : []),
		h('section', h('p.quiet', 'Who may use the command line where the server runs makes one:'), command('assay token create NAME --role developer'))];
}
