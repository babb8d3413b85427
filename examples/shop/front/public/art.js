// A picture for every product, drawn from its category and number: no image files, and the same picture every time.

const SHAPES = {
  Mugs: '<path d="M62 70h60v52a18 18 0 0 1-18 18H80a18 18 0 0 1-18-18z"/><path class="line" d="M122 82h10a15 15 0 0 1 0 30h-10"/>',
  Lamps: '<path d="M80 50h40l20 44H60z"/><path class="line" d="M100 94v50M78 146h44"/>',
  Chairs: '<rect x="66" y="44" width="68" height="52" rx="12"/><rect x="60" y="98" width="80" height="14" rx="7"/><path class="line" d="M70 114l-8 34M130 114l8 34"/>',
  Blankets: '<rect x="52" y="62" width="96" height="24" rx="12"/><rect x="52" y="90" width="96" height="24" rx="12"/><rect x="52" y="118" width="96" height="24" rx="12"/>',
  Notebooks: '<rect x="64" y="46" width="74" height="102" rx="6"/><path class="line" d="M80 46v102M94 72h30M94 84h22"/>',
  Backpacks: '<path d="M64 86a36 36 0 0 1 72 0v50a12 12 0 0 1-12 12H76a12 12 0 0 1-12-12z"/><path class="line" d="M88 52v-8h24v8M78 112h44v22H78z"/>',
  Bottles: '<path d="M88 44h24v22l14 18v56a10 10 0 0 1-10 10H84a10 10 0 0 1-10-10V84l14-18z"/><path class="line" d="M74 104h52"/>',
  Clocks: '<circle cx="100" cy="98" r="50"/><path class="line" d="M100 66v32l22 14"/>',
  Planters: '<path d="M66 100h68l-9 48H75z"/><path class="line" d="M100 100V60M100 84c-22 0-28-14-28-26 18 0 28 10 28 26zM100 72c16 0 24-10 24-22-16 0-24 8-24 22z"/>',
  Candles: '<rect x="80" y="76" width="40" height="72" rx="8"/><path class="line" d="M100 76V66"/><path class="flame" d="M100 36c10 12 12 18 12 22a12 12 0 0 1-24 0c0-4 2-10 12-22z"/>',
  Bowls: '<path d="M48 90h104a52 52 0 0 1-104 0z"/><rect x="82" y="140" width="36" height="8" rx="4"/>',
  Mirrors: '<rect x="64" y="40" width="72" height="112" rx="36"/><path class="line" d="M82 84l22-22M84 108l34-34"/>',
};

export function picture({ id, category }) {
  const hue = (id * 47) % 360;
  const tilt = (id * 13) % 40 - 20;
  return `<svg class="picture" viewBox="0 0 200 190" aria-hidden="true" style="--hue:${hue}">
    <rect class="ground" width="200" height="190"/>
    <circle class="sun" cx="${60 + (id * 29) % 90}" cy="${52 + (id * 17) % 50}" r="58"/>
    <path class="hill" d="M0 ${150 - tilt / 2}q60 ${tilt} 100 0t100 0V190H0z"/>
    <g class="thing">${SHAPES[category] ?? SHAPES.Bowls}</g>
  </svg>`;
}
