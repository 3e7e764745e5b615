// A row for each invoice that is not settled, so that those with a high balance lie together.
function (doc) {
  if (doc.type !== 'invoice') return;
  var due = 0;
  require('views/lib/invoices').open(doc).forEach(function (open) { due += open.amount; });
  if (due > 0) emit(due, { number: doc.number, customer: doc.customer });
}
