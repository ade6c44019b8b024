// The crew's page. What it shows comes from /events, four times a second; nothing here moves by itself, so that a page that has lost the
// recorder cannot look alive.
"use strict";

const LOST_AFTER_MS = 1500, CHECK_EVERY_MS = 200, RECONNECT_MS = 700, HOLD_MS = 1000, TOAST_MS = 2500, ANSWER_MS = 8000, CLOSING_MS = 60000;
const SHORT_S = 3600; // what the disk lasts for
const OLD_PICTURE_MS = 3000, PREVIEW_MS = { picture: 500, figures: 500, plan: 1000 }, REACH_M = [10, 20, 50, 100];
const byId = (id) => document.getElementById(id);

let view = null; // the newest, as capture/dashboard/server.py's Dashboard.view() gives it
let heardAt = performance.now();
let beats = 0;

function main() {
  if (location.search) history.replaceState(null, "", "/"); // the token is in the cookie now
  listen();
  setInterval(checkConnection, CHECK_EVERY_MS);
  document.addEventListener("visibilitychange", checkConnection);
  bindButtons();
  bindKeys();
  tunes.load();
  keepScreenOn();
}

// ---- hearing the laptop

let source = null, sourceAt = 0, hasEnded = false;

function listen() {
  if (source) source.close();
  sourceAt = performance.now();
  source = new EventSource("/events");
  source.onopen = () => { shownBootNs = 0; }; // the laptop may have been started anew
  source.onmessage = (event) => {
    show(JSON.parse(event.data));
    heardAt = performance.now(); // only what could be shown was heard: a page that stumbles over it must not look alive
    hasEnded = false;
    checkConnection();
  };
  source.addEventListener("end", () => { hasEnded = true; checkConnection(); }); // told, so no fault
}

function checkConnection() {
  const now = performance.now(), silent = now - heardAt;
  if (silent > LOST_AFTER_MS && now - sourceAt > RECONNECT_MS * 2) listen(); // Wi-Fi that went away ends no connection
  const isCut = silent > LOST_AFTER_MS;
  if (hasEnded) {
    showLost("Ended", "fieldrig record was ended on the laptop. This page comes back when it is started again.", null);
  } else if (isCut) {
    showLost("No connection", "This page does not hear the laptop. Recording may go on: look at the laptop.", silent);
  } else if (view !== null && view.lost) {
    showLost("Recorder lost", "Nobody knows whether anything is recorded. Look at the laptop, and start fieldrig record there again: it mends what was cut off.", null);
  } else if (view !== null) {
    hideLost();
  }
  byId("lost").classList.toggle("calm", hasEnded);
  alarm.check(isCut);
}

let lostSince = null, isHushed = false;

function showLost(word, why, silentMs) {
  if (lostSince === null) lostSince = performance.now() - (silentMs || 0);
  const last = view && view.state;
  byId("lost").classList.add("shown");
  byId("lost-word").textContent = word;
  byId("lost-why").textContent = why;
  const since = `for ${duration((performance.now() - lostSince) / 1000)}`;
  byId("lost-since").textContent = hasEnded ? "" : since + (last ? `; last known: ${last.mode}` : "");
  byId("hush").hidden = isHushed || hasEnded || view === null;
}

function hideLost() {
  byId("lost").classList.remove("shown");
  lostSince = null;
  isHushed = false;
}

// ---- asking for something; one request after the other, so that a text that is being saved is saved before the start that follows it

let asking = Promise.resolve();

function act(action, body, done) {
  asking = asking.then(() => request(action, body, done));
  return asking;
}

async function request(action, body, done) {
  if (byId("lost").classList.contains("shown") && action !== "acknowledge") {
    refuse("not done: the recorder cannot be heard");
    return undefined;
  }
  try {
    const answer = await fetch(`/do/${action}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body || {}),
      signal: AbortSignal.timeout(["stop", "snapshot"].includes(action) ? CLOSING_MS : ANSWER_MS),
    });
    const said = await answer.json().catch(() => ({ ok: false, error: `the page's server answered ${answer.status}` }));
    if (!said.ok) return refuse(said.error);
    show(said.view);
    if (done) toast(done);
    return true;
  } catch {
    refuse("no answer: the laptop cannot be reached, or is busy; look whether it was done");
    return undefined;
  }
}

function refuse(why) {
  toast(why, true);
  tunes.play("refused");
  return false;
}

let toastTimer = 0;

function toast(text, isRefused = false) {
  const shown = byId("toast");
  shown.textContent = text;
  shown.classList.toggle("refused", isRefused);
  shown.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { shown.hidden = true; }, isRefused ? 2 * TOAST_MS : TOAST_MS);
}

// ---- what a person can do

const isTaking = () => view && view.state && ["recording", "paused"].includes(view.state.mode);
const isOpen = () => isTaking() && view.state.episode.open;

const commands = {
  start: () => act("start", {}, "Recording"),
  stop: () => {
    byId("record").classList.add("busy");
    byId("record-word").textContent = "Closing";
    return act("stop", {}, "Stopped").finally(() => byId("record").classList.remove("busy"));
  },
  mark: () => act("mark", {}, "Marked"),
  note: (text) => act("note", { text }, "Note taken"),
  pause: () => (view.state.mode === "paused" ? act("resume", {}, "Recording again") : act("pause", {}, isOpen() ? "Paused: the episode has a gap" : "Paused")),
  snapshot: () => act("snapshot", {}, "Snapshot saved"),
  episodeStart: () => act("episode_start", { text: view.state.task }, "Episode started"),
  episodeStop: (outcome) => act("episode_stop", { outcome }, { success: "Success", failure: "Failure", discard: "Discarded" }[outcome]),
  describe: (details) => act("describe", { details }, "Saved"),
  acknowledge: () => act("acknowledge", {}),
};

function bindButtons() {
  const onTap = (id, run) => byId(id).addEventListener("click", (event) => { event.currentTarget.blur(); if (view && view.state) run(); });
  onTap("mark", () => commands.mark());
  onTap("pause", () => commands.pause());
  onTap("snapshot", () => commands.snapshot());
  onTap("episode-start", () => commands.episodeStart());
  onTap("acknowledge", () => commands.acknowledge());
  byId("hush").addEventListener("click", () => {
    isHushed = true;
    if (view && view.lost) commands.acknowledge(); // silences the laptop as well
  });
  for (const button of document.querySelectorAll("[data-outcome]")) {
    button.addEventListener("click", () => { button.blur(); commands.episodeStop(button.dataset.outcome); });
  }
  bindRecord();
  bindTexts();
  byId("sound").addEventListener("click", () => tunes.play("mark"));
  // Not on pointerup: the line that asks for a touch goes, and the button would slip away from under the finger before it is clicked.
  for (const event of ["click", "keydown"]) addEventListener(event, () => tunes.wake(), true);
}

// One tap starts. A stop is held for a second: neither a glove, nor rain on the glass, nor a pedal that bounces ends a take.
function bindRecord() {
  const button = byId("record");
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    hold.begin();
  });
  for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => hold.end());
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("click", () => { button.blur(); if (!hold.wasTaken && view && view.state && !isTaking()) commands.start(); });
}

const hold = {
  since: null, wasTaken: false,
  begin() {
    this.wasTaken = Boolean(isTaking());
    if (!this.wasTaken || this.since !== null) return;
    this.since = performance.now();
    requestAnimationFrame(() => this.step());
  },
  step() {
    if (this.since === null) return;
    const share = Math.min(1, (performance.now() - this.since) / HOLD_MS);
    byId("held").style.width = `${share * 100}%`;
    if (share < 1) requestAnimationFrame(() => this.step());
    else { this.clear(); commands.stop(); }
  },
  end() {
    if (this.since === null) return;
    this.clear();
    toast("Hold for one second to stop");
  },
  clear() { this.since = null; byId("held").style.width = "0"; },
};

function bindTexts() {
  byId("note-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const note = byId("note");
    const text = note.value.trim();
    if (text && await commands.note(text)) note.value = "";
    note.blur();
  });
  byId("details-form").addEventListener("submit", (event) => { event.preventDefault(); document.activeElement.blur(); });
  for (const input of byId("details-form").elements) {
    input.addEventListener("input", () => { input.dataset.edited = "yes"; });
    input.addEventListener("change", async () => {
      const isKept = await commands.describe({ [input.name]: input.name === "consent_ids" ? listed(input.value) : input.value });
      if (isKept === undefined) return input.classList.add("refused"); // nobody knows; what was typed stays
      input.classList.remove("refused");
      delete input.dataset.edited;
      input.blur(); // what has the focus is not touched
      showDetails(view.state); // what was refused gives way to what the recorder holds
    });
  }
}

const listed = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);

function bindKeys() {
  const keys = {
    " ": () => commands.mark(),
    r: () => (isTaking() ? hold.begin() : commands.start()),
    e: () => (isOpen() ? commands.episodeStop("success") : commands.episodeStart()),
    s: () => commands.episodeStop("success"),
    f: () => commands.episodeStop("failure"),
    d: () => commands.episodeStop("discard"),
    p: () => commands.pause(),
    n: () => byId("note").focus(),
    i: () => { byId("about").open = true; byId("details-form").elements.task.focus(); },
    m: () => commands.snapshot(),
    a: () => commands.acknowledge(),
  };
  const run = (event) => {
    const isTyping = event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey;
    if (event.key === "Escape") event.target.blur();
    return isTyping ? undefined : keys[event.key.toLowerCase()];
  };
  addEventListener("keydown", (event) => {
    const key = run(event);
    if (!key) return;
    event.preventDefault(); // the space bar must not press the button that has the focus, too
    if (!event.repeat && view && view.state) key();
  });
  addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "r") hold.end();
    if (run(event)) event.preventDefault();
  });
  addEventListener("blur", () => hold.end());
}

// ---- sounds: the tunes of capture/tunes.py

const tunes = {
  known: {}, context: null, lastCount: null, everyMs: 2000,
  async load() {
    const answer = await fetch("/tunes.json").then((each) => each.json()).catch(() => null);
    if (!answer) { setTimeout(() => this.load(), 2000); return; }
    this.known = answer.tunes;
    this.everyMs = answer.alarm_every_s * 1000;
  },
  wake() { // browsers let a page sound only after somebody has touched it
    if (!this.context) this.context = new AudioContext();
    if (this.context.state !== "running") this.context.resume().then(() => this.showWhether());
    this.showWhether();
  },
  showWhether() { byId("sound").hidden = Boolean(this.context && this.context.state === "running"); },
  heard(sound) { // what had happened before the page came is old
    const isNew = this.lastCount !== null && sound.count > this.lastCount;
    this.lastCount = sound.count;
    if (isNew) this.play(sound.name);
  },
  play(name) {
    const tune = this.known[name] || this.known.mark;
    if (navigator.vibrate && navigator.userActivation && navigator.userActivation.hasBeenActive) {
      navigator.vibrate(name === "alarm" ? [200, 100, 200] : 60);
    }
    if (!tune || !this.context || this.context.state !== "running") return;
    let at = this.context.currentTime + 0.02;
    for (const [hz, ms] of tune) {
      if (hz) this.tone(hz, at, ms / 1000);
      at += ms / 1000;
    }
  },
  tone(hz, at, seconds) {
    const oscillator = this.context.createOscillator(), gain = this.context.createGain();
    oscillator.type = "triangle";
    oscillator.frequency.value = hz;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.7, at + 0.006);
    gain.gain.setValueAtTime(0.7, at + seconds - 0.006);
    gain.gain.linearRampToValueAtTime(0, at + seconds);
    oscillator.connect(gain).connect(this.context.destination);
    oscillator.start(at);
    oscillator.stop(at + seconds);
  },
};

const alarm = {
  next: 0,
  check(isCut) { // a page that is cut off hears of no alarm: that is one
    const isDue = view !== null && !hasEnded && !isHushed && (isCut || view.unseen_alarms.length > 0);
    if (!isDue) { this.next = 0; return; }
    if (performance.now() < this.next) return;
    this.next = performance.now() + tunes.everyMs;
    tunes.play("alarm");
  },
};

async function keepScreenOn() {
  const ask = () => navigator.wakeLock && document.visibilityState === "visible" && navigator.wakeLock.request("screen").catch(() => null);
  document.addEventListener("visibilitychange", ask);
  await ask();
}

// ---- showing the state

const WORDS = { standby: "Standby", recording: "Recording", paused: "Paused", closing: "Closing", snapshot: "Snapshot" };

let shownBootNs = 0;

// An action's answer and the states that come by themselves overtake one another.
function show(newest) {
  if (newest.state && newest.state.boot_ns < shownBootNs) return;
  if (newest.state) shownBootNs = newest.state.boot_ns;
  view = newest;
  const state = view.state;
  if (!state) return;
  tunes.heard(state.sound);
  beats += 1;
  byId("dot").classList.toggle("off", beats % 4 >= 2); // it blinks by what is heard
  document.body.dataset.mode = state.mode;
  document.title = `${WORDS[state.mode]} – ${state.rig}`;
  byId("mode").textContent = WORDS[state.mode];
  byId("rig").textContent = state.task || state.rig;
  byId("elapsed").textContent = isTaking() ? clock(state.elapsed_s) : state.mode === "snapshot" ? `${state.kept_s.toFixed(0)} s` : "";
  showGlance(state);
  showAlarms();
  showButtons(state);
  showEpisode(state.episode);
  showDetails(state);
  showDisk(state);
  showStreams(state.streams);
  showPanels(state);
  showMarks(state.marks);
  byId("where").textContent = [state.recording_id || (state.last_folder && `last recording: ${state.last_folder}`), `rig ${state.rig}`, `laptop's clock ${view.time}`]
    .filter(Boolean).join(" · ");
}

function showAlarms() {
  const alarms = view.lost ? [] : view.alarms;
  byId("alarms").hidden = alarms.length === 0;
  byId("alarms").classList.toggle("seen", view.unseen_alarms.length === 0);
  fillAlarms(alarms);
}

let alarmRows = [];

// Rows that last are kept: a reason that somebody reads stays open while figures in it change, and others come and go.
function fillAlarms(alarms) {
  const before = alarmRows, left = [...before];
  alarmRows = alarms.map((alarm) => {
    const at = left.findIndex((row) => row.key === alarm.key);
    return at < 0 ? new AlarmRow(alarm.key) : left.splice(at, 1)[0];
  });
  alarmRows.forEach((row, at) => row.show(alarms[at]));
  const isSame = before.length === alarmRows.length && before.every((row, at) => row === alarmRows[at]);
  if (!isSame) byId("alarm-lines").replaceChildren(...alarmRows.map((row) => row.root));
}

class AlarmRow {
  constructor(key) {
    this.key = key;
    this.root = byId("alarm").content.firstElementChild.cloneNode(true);
    const details = this.root.querySelector("details");
    details.addEventListener("toggle", () => { if (details.open) this.root.scrollIntoView({ block: "nearest" }); });
  }

  show(alarm) {
    const put = (selector, text) => { this.root.querySelector(selector).textContent = text; };
    put(".alarm-what", alarm.what);
    put(".alarm-since", alarm.since && `since ${alarm.since}`);
    put(".alarm-do", alarm.remedy);
    put("p", alarm.text);
  }
}

function showButtons(state) {
  const { mode } = state;
  if (!byId("record").classList.contains("busy")) byId("record-word").textContent = mode === "closing" ? "Closing" : isTaking() ? "Hold to stop" : "Start";
  byId("record").disabled = mode === "closing";
  byId("mark").disabled = !isTaking() && mode !== "snapshot";
  byId("pause").disabled = !isTaking();
  byId("pause-word").textContent = mode === "paused" ? "Resume" : "Pause";
  byId("snapshot").disabled = mode !== "snapshot";
  byId("snapshot-word").textContent = `Save the last ${state.kept_s.toFixed(0)} s`;
  byId("episode-start").disabled = mode !== "recording";
}

function showEpisode(episode) {
  byId("episode").dataset.open = episode.open ? "yes" : "no";
  byId("episode-word").textContent = episode.open ? "Episode runs" : "Episodes";
  byId("episode-since").textContent = episode.open ? clock(episode.since_s) : "";
  byId("episode-task").textContent = episode.task;
  for (const outcome of ["success", "failure", "discard"]) byId(`done-${outcome}`).textContent = episode.done[outcome] || 0;
}

let takes = null;

function showDetails(state) {
  const about = byId("about"), wasTaken = takes;
  takes = isTaking();
  if (wasTaken === null) about.open = !takes; // before a take is when it is filled in
  else if (takes && !wasTaken && !about.contains(document.activeElement)) about.open = false;
  const given = [state.task, state.operator, state.site].filter(Boolean).join(" · ");
  byId("about-word").textContent = given || "Task, operator, site: not given";
  for (const input of byId("details-form").elements) {
    if (input.dataset.edited || input === document.activeElement) continue;
    input.value = input.name === "consent_ids" ? state.consent_ids.join(", ") : state[input.name];
  }
}

function showDisk(state) {
  const left = state.disk_left_s, synced = state.synced_s_ago;
  put("disk-left", left === null ? "–" : duration(left), left === null ? "" : left < 600 ? "bad" : left < SHORT_S ? "warning" : "");
  put("free", state.free_bytes === null ? "free space unknown" : `${bytes(state.free_bytes)} free`);
  put("synced", synced === null ? "–" : `${synced.toFixed(1)} s ago`, synced > 5 ? "bad" : synced > 2 ? "warning" : "");
  const full = state.queue_bound_bytes ? state.queue_bytes / state.queue_bound_bytes : 0;
  put("queue", `${(full * 100).toFixed(0)} %`, full > 0.5 ? "bad" : full > 0.1 ? "warning" : "");
  put("queue-age", `oldest ${state.queue_age_ms.toFixed(0)} ms`);
  put("written", isTaking() ? bytes(state.file_bytes) : "–");
  put("segment", isTaking() ? `file ${state.segment}` : "");
}

function put(id, text, level = "") {
  byId(id).textContent = text;
  byId(id).className = `figure ${level}`;
}

function showPanels(state) {
  const panels = [...view.panels];
  if (state.order_lines.length) {
    panels.unshift({ title: `Still missing for ${state.order}`, lines: state.order_lines.map((text) => ({ text, level: "plain" })) });
  }
  const shown = byId("panels"), text = JSON.stringify(panels);
  if (shown.dataset.shown === text) return;
  shown.dataset.shown = text;
  shown.replaceChildren(...panels.filter((panel) => panel.lines.length).map((panel) => {
    const card = element("article", "card panel"), heading = element("p", "heading"), lines = element("ul");
    heading.append(element("strong", "", panel.title));
    for (const line of panel.lines) {
      const row = element("li", "", line.text);
      row.dataset.level = line.level;
      lines.append(row);
    }
    card.append(heading, lines);
    return card;
  }));
}

function showMarks(marks) {
  byId("marks-card").hidden = marks.length === 0;
  const rows = [...marks].reverse().slice(0, 6);
  const shown = byId("marks"), text = JSON.stringify(rows);
  if (shown.dataset.shown === text) return;
  shown.dataset.shown = text;
  shown.replaceChildren(...rows.map((mark) => {
    const row = element("li");
    const at = new Date(mark.t_ns / 1e6);
    row.append(element("time", "", at.toLocaleTimeString("en-GB")), element("span", "", [mark.kind.replaceAll("_", " "), mark.text].filter(Boolean).join(": ")));
    return row;
  }));
}

// ---- one card a stream

const cards = new Map();

function showStreams(streams) {
  const names = streams.map((stream) => stream.name);
  for (const [name, card] of cards) if (!names.includes(name)) { card.remove(); cards.delete(name); }
  for (const stream of streams) {
    if (!cards.has(stream.name)) cards.set(stream.name, new StreamCard(stream));
    cards.get(stream.name).show(stream);
  }
}

class StreamCard {
  constructor(stream) {
    this.stream = stream;
    this.root = byId("stream").content.firstElementChild.cloneNode(true);
    this.part = (name) => this.root.querySelector(`.${name}`);
    const [sensor, ...what] = stream.name.split("/");
    this.part("name").append(`${sensor}/`, document.createElement("wbr"), what.join("/")); // a line may end at the slash
    this.root.classList.toggle("blind", !stream.shows);
    this.root.classList.toggle("event", !stream.is_steady);
    this.part("plan").hidden = stream.shows !== "plan";
    this.reach = 1;
    this.allHeights = false;
    this.pictureAt = null;
    this.isVisible = false;
    this.bind();
    byId("sensors").append(this.root);
    this.observer = new IntersectionObserver(([entry]) => { this.isVisible = entry.isIntersecting; });
    this.observer.observe(this.root);
    if (stream.shows) this.look();
  }

  bind() {
    this.part("view").addEventListener("click", (event) => { event.currentTarget.blur(); this.root.classList.toggle("large"); });
    this.part("reach").addEventListener("click", () => { this.reach = (this.reach + 1) % REACH_M.length; this.showPlan(); });
    this.part("heights").addEventListener("click", () => { this.allHeights = !this.allHeights; this.showPlan(); });
    this.showPlan();
  }

  showPlan() {
    this.part("reach").textContent = `To ${REACH_M[this.reach]} m`;
    this.part("heights").textContent = this.allHeights ? "All heights" : "Low heights";
  }

  remove() {
    this.observer.disconnect();
    this.root.remove();
    this.isGone = true;
  }

  show(stream) {
    this.stream = stream;
    const [level, word] = judged(stream);
    this.root.dataset.level = level;
    this.part("status").textContent = word;
    this.part("hz").textContent = !stream.is_steady ? `${stream.received} so far` : `${rate(stream.rate_hz)} Hz`;
    this.part("of").textContent = stream.expected_hz ? `of ${stream.is_usual ? "~" : ""}${rate(stream.expected_hz)}` : "";
    this.part("lost").textContent = stream.lost;
    this.part("jitter").textContent = `${stream.jitter_ms.toFixed(1)} ms`;
    this.part("clock").textContent = clockText(stream);
    this.part("age").textContent = stream.silent_s === null ? "–" : `${age(stream.silent_s)} ago`;
    this.part("failure").textContent = stream.failure.replace(`${stream.name}: `, "");
    this.part("failure").hidden = !stream.failure;
    this.showAge();
  }

  showAge() {
    const oldMs = this.pictureAt === null ? 0 : view.now_ms - this.pictureAt;
    const isOld = this.pictureAt !== null && oldMs > OLD_PICTURE_MS;
    const isGone = this.pictureAt !== null && !this.stream.connected;
    this.part("view").classList.toggle("stale", isOld || isGone);
    this.part("old").hidden = !isOld && !isGone;
    this.part("old").textContent = isOld ? `${duration(oldMs / 1000)} old` : "gone";
  }

  async look() { // only while somebody can see it
    while (!this.isGone) {
      if (this.isVisible && document.visibilityState === "visible" && view && !view.lost) await this.fetchOnce();
      await new Promise((resolve) => { setTimeout(resolve, PREVIEW_MS[this.stream.shows] || 1000); });
    }
  }

  async fetchOnce() {
    const path = this.stream.name.split("/").map(encodeURIComponent).join("/");
    const width = this.root.classList.contains("large") ? 960 : 320;
    const plan = `&reach=${REACH_M[this.reach]}&heights=${this.allHeights ? "all" : "low"}`;
    const answer = await fetch(`/preview/${path}?width=${width}${plan}`).catch(() => null);
    if (!answer || answer.status !== 200) return this.say(answer && answer.status !== 204 ? await answer.text() : "nothing to see yet");
    if (answer.headers.get("Content-Type").startsWith("text/")) this.say(await answer.text());
    else await this.picture(await answer.blob());
    this.pictureAt = Number(answer.headers.get("X-Host-Ns")) / 1e6;
    return undefined;
  }

  say(text) {
    if (this.pictureAt !== null && !this.root.querySelector("img").hidden) return; // the last picture stays, and grows old
    this.root.querySelector("pre").textContent = text;
    this.root.querySelector("pre").hidden = false;
  }

  async picture(blob) {
    const image = this.root.querySelector("img"), old = image.src;
    image.src = URL.createObjectURL(blob);
    await image.decode().catch(() => null);
    if (old) URL.revokeObjectURL(old);
    image.alt = this.stream.name;
    image.hidden = false;
    this.root.querySelector("pre").hidden = true;
  }
}

// The one line that is always in sight: which streams are not well, and for how long the disk lasts.
function showGlance(state) {
  const steady = state.streams.filter((stream) => stream.is_steady), judgements = steady.map((stream) => [stream.name, ...judged(stream)]);
  const worst = ["bad", "warning", "plain"].find((level) => judgements.some((each) => each[1] === level)) || "good";
  const unwell = judgements.filter((each) => each[1] !== "good");
  const named = unwell.slice(0, 2).map(([name, , word]) => `${name} ${word}`).join(", ");
  const more = unwell.length > 2 ? ` and ${unwell.length - 2} more` : "";
  const left = state.disk_left_s, disk = left === null ? "" : ` · disk ${duration(left).replace(/ \d+ min$/, "")}`;
  const alarms = view.alarms.length === 1 ? "1 alarm" : `${view.alarms.length} alarms`;
  if (unwell.length) put("glance", `! ${named}${more}`, worst);
  else if (view.alarms.length) put("glance", `! ${alarms}${disk}`, "bad");
  else put("glance", `✓ ${steady.length} streams good${disk}`, left !== null && left < SHORT_S ? "warning" : worst);
}

function judged(stream) {
  if (stream.failure || !stream.connected) return ["bad", "gone"];
  if (!stream.is_steady) return ["plain", ""];
  if (stream.silent_s === null) return ["plain", "nothing yet"];
  if (stream.expected_hz && stream.silent_s > Math.max(1, 5 / stream.expected_hz)) return ["bad", "silent"];
  if (stream.lost > 0) return ["warning", `${stream.lost} lost`];
  if (stream.rejected > 0) return ["warning", `${stream.rejected} not its own`];
  if (stream.expected_hz && stream.rate_hz < 0.9 * stream.expected_hz) return ["warning", "slow"];
  if (view.alarms.some((alarm) => names(alarm.text, stream.name))) return ["bad", "alarm"];
  return ["good", "good"];
}

const names = (alarm, stream) => alarm.split(/[\s,;:()]+/).includes(stream);

// ---- words and figures

const rate = (hz) => (hz >= 100 ? hz.toFixed(0) : hz.toFixed(1));
const age = (s) => (s < 10 ? `${s.toFixed(1)} s` : duration(s));

function clockText(stream) {
  const offset = stream.clock_offset_ms;
  if (offset === null) return "none of its own";
  const size = Math.abs(offset), sign = offset < 0 ? "−" : "+";
  const text = size < 1e3 ? `${sign}${size.toFixed(2)} ms` : size < 3.6e6 ? `${sign}${(size / 1e3).toFixed(3)} s` : "own epoch";
  const sigma = stream.clock_sigma_ms === null ? "" : ` ± ${stream.clock_sigma_ms.toFixed(3)} ms`;
  return `${text}${sigma} (${stream.clock_source.toUpperCase()})`;
}

function clock(s) {
  const whole = Math.floor(s), minutes = Math.floor(whole / 60) % 60, hours = Math.floor(whole / 3600);
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${two(minutes)}:${two(whole % 60)}`;
}

function duration(s) {
  if (s < 120) return `${s.toFixed(0)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 36000) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} days`;
}

function bytes(count) {
  const [size, unit] = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"]].find(([each]) => count >= each) || [1e3, "kB"];
  return `${(count / size).toPrecision(3)} ${unit}`;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

main();
