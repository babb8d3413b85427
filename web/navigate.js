// navigate: how a page sends the browser to another page of ours; main.js hears it.

export function go(path) {
	history.pushState(null, '', path);
	dispatchEvent(new Event('assay:moved'));
}
