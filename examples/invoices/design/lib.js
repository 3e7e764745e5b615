// What is still due of an invoice, allocation by allocation, in cents. Payments settle allocations in the
// order in which they stand on the invoice.
exports.open = function (invoice) {
  var paid = 0;
  invoice.payments.forEach(function (payment) { paid += payment.amount; });
  var open = [];
  invoice.lines.forEach(function (line) {
    line.allocations.forEach(function (allocation) {
      var settled = Math.min(paid, allocation.amount);
      paid -= settled;
      open.push({ code: allocation.code, amount: allocation.amount - settled });
    });
  });
  return open;
};
