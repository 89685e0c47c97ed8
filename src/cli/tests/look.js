// Looks at pages as a browser shows them. `pages` is a list of { name, width, html }, `pictures` of { name, svg }; `dark` says which colour scheme is
// expected. Writes what is wrong into #out, one line each, and "done" when everything was looked at. The pages run no script: this one is not theirs.
const wrong = [];
const scheme = matchMedia('(prefers-color-scheme: dark)').matches;
if (scheme !== dark) wrong.push(`the browser shows ${scheme ? 'dark' : 'light'}`);

function luminance([r, g, b]) {
  const [x, y, z] = [r, g, b].map(c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function colour(text) {
  const parts = text.match(/[\d.]+/g).map(Number);
  return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
}
// WCAG 2: the contrast of a text with what lies behind it.
function contrast(view, element) {
  const ink = colour(view.getComputedStyle(element).color);
  for (let at = element; at; at = at.parentElement) {
    const paper = colour(view.getComputedStyle(at).backgroundColor);
    if (paper.alpha > 0) {
      const [a, b] = [luminance(ink.rgb), luminance(paper.rgb)].sort((a, b) => b - a);
      return (a + 0.05) / (b + 0.05);
    }
  }
  return 0;
}
function look(name, width, frame) {
  const view = frame.contentWindow, doc = frame.contentDocument;
  const say = (what, element) => wrong.push(`${name} at ${width}: ${what}${element ? ' in ' + element.outerHTML.slice(0, 90) : ''}`);
  const all = selector => [...doc.querySelectorAll(selector)];
  for (const details of all('details')) details.open = true;

  for (const element of all('script,link,img,iframe,object,embed,form,base,video,audio,b:not(.end b)')) say('an element that has no place', element);
  for (const element of all('*'))
    for (const { name: key, value } of element.attributes) {
      if (/^on|^src|^style$|^action$|^ping$/.test(key)) say(`attribute ${key}`, element);
      if (key === 'href' && !(value.startsWith('#') && doc.getElementById(value.slice(1)))) say('a link that leads nowhere', element);
      if (/^aria-(labelledby|describedby)$/.test(key) && !value.split(' ').every(id => doc.getElementById(id)?.textContent.trim())) say(`dangling ${key}`, element);
    }
  if (/url\(|@import/.test(all('style').map(style => style.textContent).join())) say('a style that loads something');
  const loaded = view.performance.getEntriesByType('resource');
  if (loaded.length) say(`loaded ${loaded.map(entry => entry.name)}`);

  if (!doc.documentElement.lang) say('no language');
  if (!doc.title) say('no title');
  if (all('h1').length !== 1 || all('main').length !== 1) say('not one h1 and one main');
  let level = 0;
  for (const heading of all('h1,h2,h3,h4')) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) say('a heading that skips a level', heading);
    level = next;
  }
  const ids = all('[id]').map(element => element.id);
  if (new Set(ids).size !== ids.length) say('an id twice');
  for (const th of all('th')) if (!th.scope || !th.textContent.trim()) say('a table header without scope or text', th);
  for (const table of all('table')) if (!table.querySelector('th')) say('a table without headers', table);
  for (const mark of all('.text mark')) if (!/(weakly|moderately|strongly) (for|against)/.test(mark.querySelector('.hidden')?.textContent)) say('a mark without words', mark);
  for (const mark of all('mark')) {
    const style = view.getComputedStyle(mark);
    if (!style.textDecorationLine.includes('underline')) say('a mark by colour only', mark);
    if ((style.textDecorationStyle === 'dashed') !== mark.className.startsWith('against')) say('a line of the wrong kind', mark);
  }
  for (const svg of all('svg')) if (svg.getAttribute('aria-hidden') !== 'true') say('a drawing that is read aloud', svg);
  for (const region of all('.wide')) if (region.tabIndex !== 0 || !(region.getAttribute('aria-label') || region.getAttribute('aria-labelledby'))) say('a region that keys cannot scroll', region);

  const over = doc.documentElement.scrollWidth - width;
  if (over > 0) say(`${over} px too wide`);
  for (const element of all('body *')) {
    const box = element.getBoundingClientRect();
    if (box.width > 1 && !element.closest('.wide,.hidden') && (box.right > width + 1 || box.left < -1)) say('sticks out', element);
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (own && !element.closest('.hidden,svg,style') && contrast(view, element) < 4.5) say(`contrast ${contrast(view, element).toFixed(2)}`, element);
  }
}
function lookAtPicture(name, text) {
  const say = what => wrong.push(`${name}: ${what}`);
  const parsed = new DOMParser().parseFromString(text, 'image/svg+xml');
  if (parsed.querySelector('parsererror')) return say(parsed.querySelector('parsererror').textContent);
  const svg = document.body.appendChild(document.importNode(parsed.documentElement, true));
  for (const part of ['title', 'desc']) if (!svg.querySelector(part)?.textContent.trim()) say(`no ${part}`);
  for (const element of svg.querySelectorAll('*')) {
    if (!/^(title|desc|defs|pattern|path|rect|text)$/.test(element.tagName)) say(`<${element.tagName}>`);
    for (const { name: key, value } of element.attributes) if (/^on|href|style/.test(key) || /url\((?!#)/.test(value)) say(`attribute ${key}="${value}"`);
  }
  const { width, height } = svg.viewBox.baseVal;
  for (const text of svg.querySelectorAll('text')) {
    const box = text.getBBox();
    if (box.x < -1 || box.y < -1 || box.x + box.width > width + 1 || box.y + box.height > height + 1) say(`sticks out: ${text.textContent}`);
  }
  svg.remove();
}
async function main() {
  for (const { name, width, html } of pages) {
    const frame = document.createElement('iframe');
    frame.style.cssText = `width:${width}px;height:800px;border:0`;
    frame.srcdoc = html;
    await new Promise(done => { frame.onload = done; document.body.append(frame); });
    look(name, width, frame);
    frame.remove();
  }
  for (const { name, svg } of pictures) lookAtPicture(name, svg);
  wrong.push('done');
}
main().catch(error => wrong.push(`the look itself failed: ${error.stack}`)).finally(() => { document.getElementById('out').textContent = wrong.join('\n'); });
