// A row for each allocation that is not settled: what is due, by accounting code and date.
function (doc) {
  if (doc.type !== 'invoice') return;
  require('views/lib/invoices').open(doc).forEach(function (open) {
    if (open.amount > 0) emit([open.code, doc.date], open.amount);
  });
}
