// Points out one series in all charts: while the pointer is over it or its name in a
// legend. The page reads the same without this.
(function () {
  var names = ["ours", "actual", "ideal", "o0", "o1", "o2"];
  for (var index = 0; index < 8; index += 1) names.push("s" + index);

  function nameOf(element) {
    if (element.dataset.series) return element.dataset.series.split(" ")[0];
    return names.find(function (name) { return element.classList.contains(name); });
  }

  function pointOut(scope, name) {
    scope.querySelectorAll(".series, .legend li").forEach(function (element) {
      element.classList.toggle("dim", Boolean(name) && nameOf(element) !== name);
    });
  }

  document.querySelectorAll(".series, .legend li").forEach(function (element) {
    var scope = element.closest("section");
    element.addEventListener("pointerenter", function () { pointOut(scope, nameOf(element)); });
    element.addEventListener("pointerleave", function () { pointOut(scope, null); });
  });
})();
