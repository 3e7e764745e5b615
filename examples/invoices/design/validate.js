// What a schema cannot say: that figures agree with each other, and what may not change.
function (doc, old) {
  if (doc._deleted || doc.type !== 'invoice') return;
  var total = 0, paid = 0;
  doc.lines.forEach(function (line, at) {
    var split = 0;
    line.allocations.forEach(function (allocation) { split += allocation.amount; });
    if (split !== line.amount) {
      throw { forbidden: 'line ' + (at + 1) + ' is ' + line.amount + ', its allocations are ' + split };
    }
    total += line.amount;
  });
  doc.payments.forEach(function (payment) { paid += payment.amount; });
  if (paid > total) throw { forbidden: 'more is paid than the invoice is about' };
  if (old && !old._deleted && old.number !== doc.number) {
    throw { forbidden: 'an invoice keeps its number' };
  }
}
