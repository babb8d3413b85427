// shell: a terminal in an environment, as a page of its own.

import {h} from '../dom.js';
import {get} from '../api.js';
import {asked} from '../navigate.js';
import {command, link} from '../parts/controls.js';
import {terminalView} from '../parts/terminal.js';

export function shellPage({id}) {
	return {
		title: 'Shell',
		load: () => get(`/environments/${encodeURIComponent(id)}`),
		name: (environment) => `Shell in ${environment.name}`,
		view(environment) {
			return [h('div.page-head', h('p.crumb', link('/environments', 'Environments'), ' / ', link(`/environments/${environment.id}`, environment.name)), h('h1', 'Shell', h('span.id', environment.id)), h('p.lead', 'You are in the same room as the programs: what you change is changed for them.')),
				terminalView({environment: environment.id, sandboxes: environment.sandboxes.map((box) => box.name), sandbox: asked('sandbox') || 'workspace'}), h('section', h('p.quiet', 'The same on the command line:'), command(`assay env shell ${environment.id}`))];
		},
	};
}
