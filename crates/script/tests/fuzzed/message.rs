//! What must be true of any bytes that come over the socket between host and worker.

use bytes::Bytes;
use settle_script::message::{Operation, Reply, Request};

/// Whatever can be read is written as it was; nothing panics, and no length is believed that is not there.
pub(crate) fn check(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        let written = request.encode().expect("it was within the limit");
        assert_eq!(&written[4..], data, "{request:?}");
        if let Request::Call { operation: Operation::Reduce { groups, .. }, .. } = &request {
            for group in groups {
                drop(group.rows());
            }
        }
    }
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(reply) = Reply::decode(&bytes) {
        let written = reply.encode().expect("it was within the limit");
        assert_eq!(&written[4..], data, "{reply:?}");
    }
}
