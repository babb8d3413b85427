// One line per thing worth knowing, on standard output, as fields.
export function log(level, msg, fields = {}) {
  const pairs = Object.entries({ level, msg, ...fields }).map(([key, value]) => `${key}=${quote(value)}`);
  process.stdout.write(pairs.join(' ') + '\n');
}

function quote(value) {
  const text = String(value);
  return /^[\w\-./:%?&=]+$/.test(text) ? text : JSON.stringify(text);
}
