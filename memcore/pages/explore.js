"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [440, 320, 62, 14, 16, 46];
  const inputs = data.sliders.map((_, number) => document.getElementById(`s${number}`));
  const places = () => inputs.map((input) => Number(input.value));
  const own = data.sliders.map((slider) => slider.base);

  const row = (at) => at.reduce((sum, place, n) => sum * data.sliders[n].values.length + place, 0);
  const powers = (logs) => logs && logs.map((each) => 10 ** (each / data.parts));

  // -- numbers -----------------------------------------------------------------------------------

  const PREFIXES = { "-15": "f", "-12": "p", "-9": "n", "-6": "µ", "-3": "m", 0: "", 3: "k", 6: "M", 9: "G" };
  const short = (value) => String(Number(value.toPrecision(4)));
  const quantity = (value, unit) => {
    const power = value === 0 ? 0 : 3 * Math.floor(Math.log10(Math.abs(value)) / 3 + 1e-9);
    return unit && power in PREFIXES
      ? `${short(value / 10 ** power)} ${PREFIXES[power]}${unit}` : `${value.toPrecision(4)} ${unit}`;
  };
  const scaleOf = (most, unit) => {
    const power = Math.min(9, Math.max(-15, 3 * Math.floor(Math.log10(most || 1) / 3 + 1e-9)));
    return { factor: 10 ** -power, unit: `${PREFIXES[power]}${unit}` };
  };
  const ticks = (low, high) => {
    const width = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(width));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((each) => each >= width * (1 - 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) found.push(k * step);
    return found;
  };

  // -- pictures ----------------------------------------------------------------------------------

  const element = (name, attributes, text) => {
    const made = document.createElementNS(NAMESPACE, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const ends = (lists, zero) => {
    const values = lists.flat().concat(zero ? [0] : []);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = 0.05 * (high - low) || 0.5 * Math.abs(high) || 0.5;
    return [low - room, high + room];
  };

  // Series are lists of points [x, y, low, high]; the one that came is grey, behind the other.
  const draw = (id, xLabel, yLabel, series, zero) => {
    const picture = document.getElementById(id);
    const shown = series.filter((each) => each.points);
    const [x0, x1] = ends(shown.map((each) => each.points.map((p) => p[0])), false);
    const [y0, y1] = ends(shown.map((each) => each.points.flatMap((p) => p.slice(1))), zero);
    const x = (value) => (LEFT + ((value - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
    const y = (value) => (HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
    picture.replaceChildren();
    ticks(y0, y1).forEach((tick) => {
      picture.append(element("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
      picture.append(element("text", { x: LEFT - 7, y: y(tick), dy: "0.35em", class: "tick end" }, short(tick)));
    });
    ticks(x0, x1).forEach((tick) => {
      picture.append(element("text", { x: x(tick), y: HEIGHT - BOTTOM + 16, class: "tick middle" }, short(tick)));
    });
    picture.append(element("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM, class: "axis" }));
    picture.append(element("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 7, class: "label middle" }, xLabel));
    const turned = `translate(13 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`;
    picture.append(element("text", { transform: turned, class: "label middle" }, yLabel));
    shown.forEach((each) => {
      const group = element("g", { class: `series ${each.look}` });
      const line = each.points.map((p) => `${x(p[0])} ${y(p[1])}`).join("L");
      group.append(element("path", { d: `M${line}`, class: "line" }));
      each.points.filter((p) => p.length > 2).forEach((p) => {
        group.append(element("path", { d: `M${x(p[0])} ${y(p[2])}V${y(p[3])}`, class: "bar" }));
      });
      picture.append(group);
    });
  };

  const pair = (rows, points) => {
    const both = [[row(own), "came"], [row(places()), "s0"]];
    return both.map(([index, look]) => ({ look, points: rows[index] && points(powers(rows[index])) }));
  };
  const most = (series) => Math.max(...series.flatMap((s) => (s.points ?? []).map((p) => Math.abs(p[1]))));
  const scaled = (series, scale) => series.map((s) => ({
    ...s, points: s.points && s.points.map((p) => [p[0], ...p.slice(1).map((v) => v * scale.factor)]),
  }));

  const pictures = () => {
    if (data.loop) {
      const series = pair(data.loop, (chords) => chords.map((g, k) => [data.voltage[k], g * data.voltage[k]]));
      const scale = scaleOf(most(series), "A");
      draw("loop", "voltage (V)", `current (${scale.unit})`, scaled(series, scale), true);
    }
    if (data.response) {
      const series = pair(data.response, (values) => values.map((g, k) => [k, g]));
      const scale = scaleOf(most(series), "S");
      draw("response", "pulse", `conductance (${scale.unit})`, scaled(series, scale), false);
    }
    if (data.written) {
      const series = pair(data.written, (values) => {
        const levels = values.length / 2;
        return values.slice(0, levels).map((mean, k) => {
          const deviation = values[levels + k];
          return [k / (levels - 1), mean, mean - deviation, mean + deviation];
        });
      });
      const scale = scaleOf(most(series), "S");
      draw("written", "place of the level in the window", `conductance (${scale.unit})`, scaled(series, scale), false);
    }
  };

  // -- the setting -------------------------------------------------------------------------------

  // A float of TOML needs a point or an exponent.
  const float = (value) => (/[.e]/.test(String(value)) ? String(value) : `${value}.0`);

  const show = () => {
    const at = places();
    data.sliders.forEach((slider, n) => {
      const text = quantity(slider.values[at[n]], slider.unit);
      document.getElementById(`value-${n}`).textContent = text;
      inputs[n].setAttribute("aria-valuetext", text);
    });
    const rows = data.loop ?? data.response ?? data.written;
    const allowed = rows[row(at)] !== null;
    const status = document.getElementById("status");
    status.hidden = allowed;
    status.textContent = allowed ? "" : "The device does not allow this combination; nothing is drawn for it.";
    const lines = data.sliders.map((slider, n) => `${slider.name} = ${float(slider.values[at[n]])}`);
    document.getElementById("toml").textContent = [
      "[device]", `name = ${JSON.stringify(data.name)}`, ...lines, data.rest].join("\n").trimEnd() + "\n";
    pictures();
  };

  inputs.forEach((input) => input.addEventListener("input", show));
  document.getElementById("reset").addEventListener("click", () => {
    inputs.forEach((input, n) => { input.value = own[n]; });
    show();
  });
  show();
})();
