// JUnit XML: one writer for every suite, whatever its language. A case is {name, classname, file, seconds, failure?}.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const escape = (text) => String(text).replace(/[\x00-\x08\x0b-\x1f]/g, '').replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function caseXml({ name, classname, file, seconds, failure }) {
  const head = `    <testcase name="${escape(name)}" classname="${escape(classname)}" file="${escape(file)}" time="${seconds.toFixed(3)}"`;
  if (failure === undefined) return `${head}/>`;
  return `${head}>\n      <failure message="${escape(failure.split('\n')[0])}">${escape(failure)}</failure>\n    </testcase>`;
}

function suiteXml([name, cases]) {
  const failures = cases.filter((c) => c.failure !== undefined).length;
  const seconds = cases.reduce((sum, c) => sum + c.seconds, 0);
  return `  <testsuite name="${escape(name)}" tests="${cases.length}" failures="${failures}" errors="0" skipped="0" time="${seconds.toFixed(3)}">\n${cases.map(caseXml).join('\n')}\n  </testsuite>`;
}

/** Writes the report; suites is {name: cases}. */
export function writeReport(path, suites) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${Object.entries(suites).map(suiteXml).join('\n')}\n</testsuites>\n`);
}
