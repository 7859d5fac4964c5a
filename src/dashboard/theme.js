// Before anything is painted, so that nothing flashes: the theme that this reader chose, if any.
(() => {
  const chosen = localStorage.getItem("hashgate.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
