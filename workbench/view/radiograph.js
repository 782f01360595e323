// Grey values of 16 bits, smaller copies of them, and how a part of them is painted through a window.

export class Radiograph {
  // The first 8 bytes of a response are width and height, unsigned, 32 bits each; then come the rows.
  static async fetch(source, signal) {
    const response = await fetch(source, { signal });
    if (!response.ok) throw new Error(await response.text());
    const bytes = await response.arrayBuffer();
    const [width, height] = new Uint32Array(bytes, 0, 2);
    return new Radiograph(width, height, new Uint16Array(bytes, 8));
  }

  constructor(width, height, values) {
    Object.assign(this, { width, height });
    this.levels = [{ width, height, values }];
    while (Math.min(this.last.width, this.last.height) > 128) this.levels.push(half(this.last));
  }

  get last() {
    return this.levels[this.levels.length - 1];
  }
}

function half({ width, height, values }) {
  const [columns, rows] = [width >> 1, height >> 1];
  const found = new Uint16Array(columns * rows);
  for (let row = 0, at = 0; row < rows; row++)
    for (let from = 2 * row * width, end = from + 2 * columns; from < end; from += 2)
      found[at++] = (values[from] + values[from + 1] + values[from + width] + values[from + width + 1]) >> 2;
  return { width: columns, height: rows, values: found };
}

const table = new Uint32Array(65536);
let tableKey = "";

// The colour of each grey value, as little-endian RGBA.
function colours({ centre, width, inverted }) {
  const key = `${centre} ${width} ${inverted}`;
  if (key === tableKey) return table;
  tableKey = key;
  const low = (centre - width / 2) * 65535;
  const scale = 255 / (width * 65535);
  for (let value = 0; value < 65536; value++) {
    const grey = Math.min(255, Math.max(0, Math.round((value - low) * scale)));
    const shown = inverted ? 255 - grey : grey;
    table[value] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
  }
  return table;
}

let buffer = null; // kept between calls, for its size hardly changes

function buffered(width, height) {
  if (!buffer || buffer.canvas.width < width || buffer.canvas.height < height) {
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(width, buffer?.canvas.width ?? 0);
    canvas.height = Math.max(height, buffer?.canvas.height ?? 0);
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    buffer = { canvas, context, image, pixels: new Uint32Array(image.data.buffer) };
  }
  return buffer;
}

// Paint an image: `across` and `down` canvas pixels per pixel of it, whose upper left corner lies at (x, y) of the canvas.
export function paint(canvas, image, window, [across, down], [x, y]) {
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#0b0d10";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (!image) return;
  let level = 0;
  while (level + 1 < image.levels.length && Math.max(across, down) * 2 ** level < 0.71) level++;
  const { width, height, values } = image.levels[level];
  const [wide, tall] = [across * 2 ** level, down * 2 ** level];
  const left = Math.max(0, Math.floor(-x / wide));
  const top = Math.max(0, Math.floor(-y / tall));
  const columns = Math.min(width, Math.ceil((canvas.width - x) / wide)) - left;
  const rows = Math.min(height, Math.ceil((canvas.height - y) / tall)) - top;
  if (columns <= 0 || rows <= 0) return;
  const { canvas: source, context: into, image: data, pixels } = buffered(columns, rows);
  const colour = colours(window);
  for (let row = 0; row < rows; row++) {
    let from = (top + row) * width + left;
    for (let to = row * source.width, end = to + columns; to < end; ) pixels[to++] = colour[values[from++]];
  }
  into.putImageData(data, 0, 0, 0, 0, columns, rows);
  context.imageSmoothingEnabled = true;
  context.drawImage(source, 0, 0, columns, rows, x + left * wide, y + top * tall, columns * wide, rows * tall);
}
