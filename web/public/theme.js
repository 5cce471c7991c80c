// Before the first paint, so that a remembered choice does not flash the other theme.
(function () {
  try {
    var chosen = localStorage.getItem('millstream.theme');
    if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
  } catch {
    // No storage: the system's choice holds.
  }
})();
