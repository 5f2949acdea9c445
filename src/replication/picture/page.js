'use strict';
const states = JSON.parse(document.getElementById('states').textContent);
const byId = id => document.getElementById(id);
let variant = 0;
let step = 0;

/** An element with a class and a text; nothing is ever read as markup. */
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Most records that are drawn one by one; of longer logs the first and the last. */
const DRAWN = 60;

function log(replica) {
  const drawn = element('span', 'log');
  const mark = offset => {
    if (offset === replica.high_watermark) drawn.append(titled('mark', 'high watermark ' + offset));
    if (offset === replica.flushed && offset > 0) drawn.append(titled('mark flushed', 'flushed to ' + offset));
  };
  const total = replica.log_end - replica.log_start;
  let offset = replica.log_start;
  let left = false;
  for (const run of replica.log) {
    for (let at = 0; at < run.records; at++, offset++) {
      const place = offset - replica.log_start;
      if (total > DRAWN && place >= DRAWN / 2 && place < total - DRAWN / 2) {
        if (!left) drawn.append(element('span', 'gap', '\u2026'));
        left = true;
        continue;
      }
      mark(offset);
      const record = element('span', 'record e' + run.epoch % 6, 'm' + (run.record + at));
      record.title = 'offset ' + offset + ', leader epoch ' + run.epoch;
      drawn.append(record);
    }
  }
  mark(offset);
  drawn.append(element('span', 'end', 'LEO ' + replica.log_end + '  HW ' + replica.high_watermark + '  flushed ' + replica.flushed));
  return drawn;
}

function titled(className, title) {
  const made = element('span', className);
  made.title = title;
  return made;
}

function brokers(set) {
  return '{' + set.map(broker => 'b' + broker).join(',') + '}';
}

function row(state, replica) {
  const role = !replica.up ? 'down' : replica.role === 'leader' ? 'leads' : replica.follows === null ? 'follows nobody'
    : 'follows b' + replica.follows;
  const isr = state.controller.isr.includes(replica.broker) ? 'in ISR' : state.controller.elr.includes(replica.broker) ? 'in ELR' : 'out';
  const made = element('div', 'replica' + (replica.up ? '' : ' down') + (replica.up && replica.role === 'leader' ? ' leads' : ''));
  made.append(element('span', 'who', 'b' + replica.broker + ' ' + role + ' e' + replica.leader_epoch + ', ' + isr), log(replica));
  return made;
}

function show() {
  const all = states[variant];
  step = Math.max(0, Math.min(step, all.length - 1));
  const state = all[step];
  const now = byId('now');
  const controller = state.controller;
  const leader = controller.leader === null ? 'nobody leads' : 'b' + controller.leader + ' is to lead';
  const elr = controller.elr.length ? ', ELR ' + brokers(controller.elr) : '';
  const what = step === 0 ? 'before the first step' : state.event;
  const happened = step === 0 ? '' : state.effects.map(effect => effect.text).join('; ');
  const first = element('p');
  first.append(element('b', '', what), document.createTextNode(happened ? ': ' + happened : ''));
  now.replaceChildren(first);
  now.append(element('p', '', 'controller: ' + leader + ' in e' + controller.leader_epoch + ', ISR ' + brokers(controller.isr) + elr));
  for (const replica of state.replicas) now.append(row(state, replica));
  for (const violation of state.violations || []) {
    for (const line of violation.lines) now.append(element('p', 'v', line));
  }
  byId('step').max = all.length - 1;
  byId('step').value = step;
  byId('where').textContent = 'step ' + step + ' of ' + (all.length - 1);
  for (const section of document.querySelectorAll('.variant')) {
    section.hidden = Number(section.dataset.variant) !== variant;
    for (const marked of section.querySelectorAll('.now')) marked.classList.remove('now');
    if (section.hidden) continue;
    for (const marked of section.querySelectorAll('[data-step="' + step + '"]')) marked.classList.add('now');
    follow(section.querySelector('.diagram'), section.querySelector('.diagram .now .band'));
    follow(section.querySelector('.table'), section.querySelector('.table .now'));
  }
}

/** Scrolls a box, and nothing else, to what is shown. */
function follow(box, what) {
  if (!box || !what) return;
  const frame = box.getBoundingClientRect();
  const place = what.getBoundingClientRect();
  if (place.top < frame.top + 30 || place.bottom > frame.bottom) box.scrollTop += place.top - frame.top - frame.height / 3;
}

function go(to) {
  step = to;
  show();
}

function wrong() {
  const all = states[variant];
  for (let away = 1; away <= all.length; away++) {
    const at = (step + away) % all.length;
    if ((all[at].violations || []).length) return go(at);
  }
}

const keys = {
  ArrowLeft: () => go(step - 1), ArrowUp: () => go(step - 1), ArrowRight: () => go(step + 1), ArrowDown: () => go(step + 1),
  Home: () => go(0), End: () => go(Infinity), v: wrong,
};
document.addEventListener('keydown', event => {
  const of = event.target.tagName;
  if (of === 'SELECT' || of === 'INPUT' || event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
byId('first').onclick = keys.Home;
byId('back').onclick = keys.ArrowLeft;
byId('next').onclick = keys.ArrowRight;
byId('last').onclick = keys.End;
byId('wrong').onclick = wrong;
byId('step').oninput = event => go(Number(event.target.value));
byId('variant').onchange = event => { variant = Number(event.target.value); show(); };
document.addEventListener('click', event => {
  const marked = event.target.closest('[data-step]');
  if (marked) go(Number(marked.dataset.step));
});
show();
