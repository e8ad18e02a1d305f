'use strict';
// What comes from the server goes into the page as text alone, never as markup.
const byId = id => document.getElementById(id);
const POLL_MS = 2000, PATIENCE_MS = 5000;
const SVG = 'http://www.w3.org/2000/svg';
let started = null, next = 0, series = {}, paused = false, lastAnswer = null, failedSince = null, latest = null;

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}
function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  if (text !== undefined) element.textContent = text;
  return element;
}
const none = value => value === null || value === undefined;

// ---- figures as people read them
function number(value) {
  if (none(value)) return '–';
  const size = Math.abs(value);
  if (size >= 1e4) return Math.round(value).toLocaleString('en-US').replace(/,/g, '\u202f');
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return value.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : size === 0 ? 0 : 3);
}
function bytes(value) {
  if (none(value)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) { value /= 1024; ++unit; }
  return (unit === 0 ? value : value.toFixed(value >= 100 ? 0 : 1)) + ' ' + units[unit];
}
const percent = value => none(value) ? '–' : (value * 100).toFixed(value > 0.1 && value < 1 ? 1 : 0) + ' %';
const ms = value => none(value) || value === 0 ? '–' : number(value) + ' ms';
function lasting(seconds) {
  if (none(seconds)) return '–';
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  let first = parts.findIndex(part => seconds >= part[0]);
  if (first < 0) first = 3;
  const size = parts[first][0];
  let text = Math.floor(seconds / size) + ' ' + parts[first][1];
  if (first < 3) text += ' ' + Math.floor(seconds % size / parts[first + 1][0]) + ' ' + parts[first + 1][1];
  return text;
}
const clock = seconds => new Date(seconds * 1000).toLocaleTimeString('en-GB');

// The mean of the last samples that have one.
function lately(name) {
  const last = (series[name] || []).slice(-5).filter(value => !none(value));
  return last.length ? last.reduce((a, b) => a + b, 0) / last.length : null;
}

// ---- parts of the page
// An element that is the same as the one before is left alone: focus, selection and scrolling stay.
function put(place, ...children) {
  const holder = make('div');
  holder.append(...children);
  if (place.innerHTML === holder.innerHTML) return;
  const scrolled = [...place.querySelectorAll('.wide')].map(box => box.scrollLeft);
  const focused = place.contains(document.activeElement) ? [...place.querySelectorAll('[tabindex]')].indexOf(document.activeElement) : -1;
  place.replaceChildren(...holder.childNodes);
  [...place.querySelectorAll('.wide')].forEach((box, i) => { box.scrollLeft = scrolled[i] || 0; });
  if (focused >= 0) place.querySelectorAll('[tabindex]')[focused]?.focus({preventScroll: true});
}

function table(caption, columns, rows, style) {
  const box = make('div', undefined, 'wide'), it = make('table', undefined, style), head = make('thead'), body = make('tbody');
  box.tabIndex = 0;
  box.setAttribute('role', 'region');
  box.setAttribute('aria-label', caption);
  it.append(make('caption', caption));
  const names = make('tr');
  for (const column of columns) { const th = make('th', column); th.scope = 'col'; names.append(th); }
  head.append(names);
  for (const row of rows) {
    const tr = make('tr');
    row.forEach((cell, i) => {
      const element = make(i === 0 ? 'th' : 'td', cell);
      if (i === 0) element.scope = 'row';
      tr.append(element);
    });
    body.append(tr);
  }
  it.append(head, body);
  box.append(it);
  return box;
}

function showTiles() {
  const tiles = [
    ['hit ratio of Lookups', percent(lately('hit_ratio'))], ['Lookups a second', number(lately('lookups_s'))],
    ['blocks read a second', number(lately('reads_s'))], ['blocks written a second', number(lately('writes_s'))],
    ['MB/s read', number(lately('read_mb_s'))], ['MB/s written', number(lately('write_mb_s'))],
    ['a Read, half are quicker', ms(lately('read_p50_ms'))], ['a Read, 1 % is slower', ms(lately('read_p99_ms'))],
    ['evicted a second', number(lately('evictions_s'))], ['failed a second', number(lately('failed_s'))]];
  put(byId('tiles'), ...tiles.map(([name, value]) => {
    const tile = make('div');
    tile.append(make('dt', name), make('dd', value));
    return tile;
  }));
}

function tierCard(tier) {
  const card = make('article', undefined, tier.state);
  card.append(make('h3', tier.name));
  card.append(make('p', tier.state === 'idle' ? 'idle' : tier.now_ms < 0.005 ? 'at once' : ms(tier.now_ms) + ' a read', 'big'));
  card.append(make('p', tier.words, tier.state === 'slow' ? 'bad' : 'dim'));
  if (tier.capacity_bytes) {
    const share = Math.min(tier.used_bytes / tier.capacity_bytes, 1);
    const bar = draw('svg', {class: 'fill', viewBox: '0 0 100 10', preserveAspectRatio: 'none', role: 'img',
                             'aria-label': tier.name + ' is filled to ' + percent(share)});
    bar.append(draw('rect', {class: 'all', width: 100, height: 10}), draw('rect', {class: 'used', width: (share * 100).toFixed(1), height: 10}));
    card.append(bar);
  }
  const list = make('dl');
  const line = (name, value) => list.append(make('dt', name), make('dd', value));
  line('filled', bytes(tier.used_bytes) + (tier.capacity_bytes ? ' of ' + bytes(tier.capacity_bytes) : ''));
  if (!none(tier.blocks)) line('blocks', number(tier.blocks));
  line('reads a second', number(tier.reads_s));
  line('1 % of reads takes over', ms(tier.p99_ms));
  line('a read before', ms(tier.before_ms));
  if (!none(tier.evictions)) line('evicted so far', number(tier.evictions));
  card.append(list);
  return card;
}

const CHARTS = [
  {title: 'Latency of a read by tier', unit: 'ms', log: true, lines: [['RAM', 'ram_ms'], ['disk', 'disk_ms'], ['Azure', 'azure_ms']]},
  {title: 'Hit ratio of Lookups', unit: '', top: 1, lines: [['blocks found of those asked for', 'hit_ratio']]},
  {title: 'Throughput', unit: 'MB/s', lines: [['read', 'read_mb_s'], ['written', 'write_mb_s']]},
  {title: 'Events a second', unit: '/s', lines: [['Lookups', 'lookups_s'], ['blocks read', 'reads_s'], ['written', 'writes_s']]},
  {title: 'Latency of calls, 99 % are quicker', unit: 'ms', log: true, lines: [['Lookup', 'lookup_p99_ms'], ['Read', 'read_p99_ms'], ['Write', 'write_p99_ms'], ['StreamingRead', 'stream_p99_ms']]},
  {title: 'Evictions and failures a second', unit: '/s', lines: [['evicted', 'evictions_s'], ['failed', 'failed_s']]}];

function ticks(low, high, log) {
  if (log) {
    const list = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power) list.push(10 ** power);
    return list;
  }
  const rough = high / 4, base = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * base).find(size => size >= rough);
  const list = [];
  for (let at = 0; at < high + step * 0.999; at += step) list.push(+at.toPrecision(6));
  return list;
}

function chart(figure, spec) {
  const lines = spec.lines.map(([name, key]) => ({name, values: series[key] || []})).filter(line => line.values.some(value => !none(value)));
  const last = line => line.values.slice(-5).reverse().find(value => !none(value));
  const now = line => { const value = last(line); return none(value) ? 'nothing of late' : spec.top === 1 ? percent(value) : number(value) + ' ' + spec.unit; };
  const legend = make('ul', undefined, 'legend');
  lines.forEach(line => {
    const item = make('li'), mark = draw('svg', {viewBox: '0 0 22 8', 'aria-hidden': 'true'});
    mark.append(draw('path', {class: 'line l' + spec.lines.findIndex(each => each[0] === line.name), d: 'M0 4H22'}));
    item.append(mark, line.name + ': ' + now(line));
    legend.append(item);
  });
  const children = [make('figcaption', spec.title + (spec.unit ? ', ' + spec.unit : ''))];
  if (!lines.length) return put(figure, ...children, make('p', 'Nothing yet.', 'dim'));
  const width = Math.max(figure.clientWidth, 200), height = 170, left = 46, right = 8, top = 8, bottom = 20;
  const all = lines.flatMap(line => line.values).filter(value => !none(value) && (!spec.log || value > 0));
  const high = Math.max(spec.top || 0, ...all, spec.log ? 0.1 : 0.001), low = spec.log ? Math.max(Math.min(...all, high / 10), 1e-4) : 0;
  const marks = ticks(low, high, spec.log), first = marks[0], end = marks[marks.length - 1];
  const scale = value => spec.log ? (Math.log10(Math.max(value, first)) - Math.log10(first)) / (Math.log10(end) - Math.log10(first)) : value / end;
  const y = value => top + (height - top - bottom) * (1 - scale(value));
  const times = series.time, newest = times[times.length - 1], span = Math.max(60, Math.min(900, newest - times[0]));
  const x = time => left + (width - left - right) * (1 - (newest - time) / span);
  const svg = draw('svg', {class: 'chart', viewBox: '0 0 ' + width + ' ' + height, role: 'img',
    'aria-label': spec.title + '. Now: ' + lines.map(line => line.name + ' ' + now(line)).join(', ')});
  for (const mark of marks) {
    svg.append(draw('path', {class: 'grid', d: 'M' + left + ' ' + y(mark).toFixed(1) + 'H' + (width - right)}));
    svg.append(draw('text', {x: left - 5, y: (y(mark) + 4).toFixed(1), 'text-anchor': 'end'}, spec.top === 1 ? percent(mark) : String(mark)));
  }
  for (let i = 0; i <= 3; ++i) {
    const ago = span * i / 3;
    svg.append(draw('text', {x: x(newest - ago).toFixed(1), y: height - 4, 'text-anchor': i === 0 ? 'end' : i === 3 ? 'start' : 'middle'},
      i === 0 ? 'now' : '−' + (span >= 180 ? Math.round(ago / 60) + ' min' : Math.round(ago) + ' s')));
  }
  for (const line of lines) {
    let path = '', open = false;
    line.values.forEach((value, i) => {
      if (none(value)) { open = false; return; }
      const at = x(times[i]).toFixed(1) + ' ' + y(value).toFixed(1);
      const alone = !open && none(line.values[i + 1]);
      path += (open ? 'L' : 'M') + at + (alone ? 'h1.5' : '');
      open = true;
    });
    svg.append(draw('path', {class: 'line l' + spec.lines.findIndex(each => each[0] === line.name), d: path}));
  }
  put(figure, ...children, svg, legend);
}

function showCharts() {
  const place = byId('charts');
  if (!place.children.length) for (const _ of CHARTS) place.append(make('figure'));
  CHARTS.forEach((spec, i) => chart(place.children[i], spec));
}

function showSlow(list) {
  if (!list.length) return put(byId('slow'), make('p', 'None yet.', 'dim'));
  const azure = list.some(one => one.azure_ms > 0);
  put(byId('slow'), table('When, and where each spent its time, in ms', ['ended', 'call', 'total', 'waiting for its turn', 'receiving', 'disk', ...(azure ? ['Azure'] : []), 'sending', 'the rest', 'blocks', 'result', 'tenant', 'request id'],
    list.map(one => [clock(one.time), one.rpc, number(one.total_ms), number(one.admission_ms), number(one.receiving_ms), number(one.disk_ms),
      ...(azure ? [number(one.azure_ms)] : []), number(one.sending_ms), number(one.rest_ms), number(one.blocks), one.code, one.tenant || '–', one.request_id || '–'])));
}

function showBy(place, caption, first, data, empty) {
  if (!data.rows.length) return put(place, make('p', empty, 'dim'));
  const short = name => name.replace(new RegExp('^kvstore_(' + first + '_)?'), '').replace(/_total$/, '').replace(/_/g, ' ');
  const cell = (name, value) => /bytes/.test(name) ? bytes(value) : number(value);
  const parts = [table(caption, [first, ...data.columns.map(column => short(column.name))],
    data.rows.map(row => [row.name, ...row.values.map((value, i) => cell(data.columns[i].name, value))]))];
  if (data.more) parts.push(make('p', 'And ' + data.more + ' more.', 'dim'));
  put(place, ...parts);
}

function showClients(data) {
  const clients = data.clients, parts = [];
  parts.push(make('p', clients.connections + (clients.connections === 1 ? ' connection' : ' connections') + ' of clients.'));
  if (clients.rows.length) parts.push(table('Connected clients', ['address', 'connections'], clients.rows.map(row => [row.address, number(row.connections)])));
  if (clients.more) parts.push(make('p', 'And ' + clients.more + ' more addresses.', 'dim'));
  if (!none(data.log.read)) {
    parts.push(make('p', 'Shared log: ' + number(data.log.appended) + ' records appended by this server, ' + number(data.log.read) +
      ' read, of all servers; last read ' + (none(data.log.age_s) ? 'never' : lasting(data.log.age_s) + ' ago') + '. The log does not say which servers there are.'));
  }
  put(byId('clients'), ...parts);
}

function banner(kind, texts) {
  const place = byId('banner'), className = kind;
  if (place.className !== className) place.className = className;
  put(place, ...texts.map(text => make('p', text)));
}

function show(data) {
  if (started !== data.started) { started = data.started; series = {}; }
  latest = data;
  for (const key of Object.keys(data.samples)) {
    if (!Array.isArray(data.samples[key])) continue;
    series[key] = (series[key] || []).concat(data.samples[key]).slice(-data.samples.kept);
  }
  next = data.samples.next;
  byId('about').textContent = 'Version ' + data.version + ', up for ' + lasting(data.uptime_s) + (data.ready.ok ? ', ready.' : ', not ready.');
  if (data.problems.length) banner(data.problems.some(one => one.bad) ? 'bad' : 'warn', data.problems.map(one => one.text + '.'));
  else banner('', ['All is well: ready, no tier is slow, no call fails.']);
  showTiles();
  put(byId('tiers'), ...(data.tiers.length ? data.tiers.map(tierCard) : [make('p', 'Not open yet.', 'dim')]));
  if ((series.time || []).length) showCharts();
  showSlow(data.slow);
  showBy(byId('tenants'), 'Tenants, those with most first', 'tenant', data.tenants, 'None is counted: tenants are known where --auth is given.');
  byId('queues-s').hidden = !data.queues.rows.length;
  showBy(byId('queues'), 'What waits', 'queue', data.queues, '');
  showClients(data);
  put(byId('facts'), table('Process and machine', ['what', 'value'], data.facts.map(fact => [fact.name, fact.value]), 'words'));
  put(byId('options'), table('Options', ['option', 'value', ''], data.options.map(option => [option.name, option.value || '–', option.given ? 'given' : 'default']), 'words'));
}

async function ask() {
  const control = new AbortController(), timer = setTimeout(() => control.abort(), PATIENCE_MS);
  try {
    const from = started === null ? 0 : next;
    const answer = await fetch('status.json?since=' + from, {signal: control.signal, cache: 'no-store'});
    if (!answer.ok) throw new Error('status ' + answer.status);
    const data = await answer.json();
    // Another process has numbers of its own: all of its past is wanted.
    if (started !== null && data.started !== started) { started = null; return ask(); }
    failedSince = null;
    lastAnswer = Date.now() / 1000;
    document.body.classList.remove('stale');
    show(data);
    byId('fresh').textContent = 'As of ' + clock(data.time) + '.';
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError || error.name === 'AbortError' || /^status/.test(error.message)) outage();
    else throw error;
  } finally {
    clearTimeout(timer);
  }
}

function outage() {
  if (failedSince === null) failedSince = Date.now() / 1000;
  document.body.classList.add('stale');
  banner('bad outage', ['The server does not answer, since ' + clock(failedSince) + '.' +
    (lastAnswer === null ? '' : ' All below is as of ' + clock(lastAnswer) + '.') + ' Trying again every 2 s.']);
}

async function poll() {
  if (!paused && !document.hidden) await ask();
  setTimeout(poll, POLL_MS);
}

byId('pause').addEventListener('click', () => {
  paused = !paused;
  byId('pause').setAttribute('aria-pressed', String(paused));
});
let width = 0;
new ResizeObserver(() => {
  if (width === document.body.clientWidth || latest === null) return;
  width = document.body.clientWidth;
  if ((series.time || []).length) showCharts();
}).observe(document.body);
poll();
