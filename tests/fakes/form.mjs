// The one file of a form (RFC 7578): {FIELD: {file, type, bytes}}; null: it is no form.
export function formOf(type, bytes) {
	const boundary = /^multipart\/form-data; boundary=([\w-]+)$/.exec(type ?? '')?.[1];
	if (!boundary) return null;
	const begin = `--${boundary}\r\n`, rest = `\r\n--${boundary}--\r\n`, head = bytes.indexOf('\r\n\r\n');
	const said = /^Content-Disposition: form-data; name="(\w+)"; filename="([\w.-]+)"\r\nContent-Type: (\S+)$/.exec(bytes.subarray(begin.length, head).toString());
	if (bytes.subarray(0, begin.length).toString() !== begin || bytes.subarray(-rest.length).toString() !== rest || !said) throw new Error(`no form: ${bytes.subarray(0, 200)}`);
	return {[said[1]]: {file: said[2], type: said[3], bytes: bytes.subarray(head + 4, -rest.length).toString('base64')}};
}
