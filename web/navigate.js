// navigate: how a page sends the browser to another page of ours, or to another view of itself; main.js hears it.

export function go(path) {
	history.pushState(null, '', path);
	dispatchEvent(new Event('assay:moved'));
}

/** The same page with other words behind its `?`: it is read again in place, and focus stays. {name: value}; an empty value is taken out. */
export function refine(values) {
	const query = new URLSearchParams(location.search);

	for (const [name, value] of Object.entries(values))
		if (value)
			query.set(name, value);
		else
			query.delete(name);
	history.pushState(null, '', location.pathname + (query.size ? `?${query}` : ''));
	dispatchEvent(new Event('assay:refined'));
}

export const asked = (name) => new URLSearchParams(location.search).get(name) ?? '';
