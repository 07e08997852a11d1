// Times as the clock of whoever looks has them; as they came they are in UTC, which stays in their title.
"use strict";

const day = (moment) => `${moment.getFullYear()}-${String(moment.getMonth() + 1).padStart(2, "0")}-${String(moment.getDate()).padStart(2, "0")}`;

function localize(within) {
  for (const time of within.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(time.dateTime);
    if (isNaN(moment)) continue;
    const clock = moment.toLocaleTimeString([], { hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit" });
    const today = day(moment) === day(new Date());
    time.title = time.textContent;
    time.textContent = today ? `${clock}.${String(moment.getMilliseconds()).padStart(3, "0")}` : `${day(moment)} ${clock}`;
  }
}

localize(document);
new MutationObserver((changes) => { if (changes.some((one) => one.addedNodes.length)) localize(document.body); })
  .observe(document.body, { childList: true, subtree: true });
