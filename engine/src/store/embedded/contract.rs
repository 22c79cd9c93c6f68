//! What the embedded backends promise beyond the port, because the log and the journal
//! stand on it: a batch over any rows is one.

use schemas::account::Account;
use schemas::audience::AudienceChunk;
use schemas::record::KeyPart;

use crate::store::contract::{StoreSubject, account, chunk, store_account, walk};
use crate::store::overlay::Overlay;
use crate::store::writer::{Admission, Operations};
use crate::store::{Order, PutOnce, StoreError};

/// An embedded backend under test.
pub(crate) trait EmbeddedSubject: StoreSubject {
    /// The way into its group commit.
    fn operations(&self) -> Operations;
}

/// Hands every case of this contract to a macro.
macro_rules! each_embedded_case {
    ($run:ident) => {
        $run! {
            a_batch_that_fails_on_any_put_leaves_nothing,
        }
    };
}
pub(crate) use each_embedded_case;

/// Six puts in one batch, of which the k-th fails: none of them is there, and neither
/// is what the batch would have replaced gone.
pub(crate) async fn a_batch_that_fails_on_any_put_leaves_nothing(
    subject: &mut dyn EmbeddedSubject,
) {
    let store = subject.store();
    store_account(&store, 0).await;
    for failing in 0..6_u8 {
        let batch = move |overlay: &mut Overlay<'_>| {
            overlay.delete::<Account>(&Account::key_of(account(0).id))?;
            for number in 0..6 {
                if number == failing {
                    return Err(StoreError::UnknownCursor);
                }
                overlay.put(&account(number + 1))?;
            }
            Ok(())
        };
        let operations = subject.operations();
        let failed = operations.run(Admission::Intake, batch);
        // Another operation beside it, most often in the same group.
        let row = chunk(7, 0, u32::from(failing));
        let (failed, beside) = futures::join!(failed, store.put_once(&row));
        assert!(matches!(failed, Err(StoreError::UnknownCursor)));
        assert!(matches!(beside, Ok(PutOnce::Stored)));
        assert_eq!(walk(&store, Order::Ascending, 10).await, [0]);
    }
    drop(store);
    subject.crash().await;
    let store = subject.store();
    assert_eq!(walk(&store, Order::Ascending, 10).await, [0]);
    let prefix = [KeyPart::Id([7; 16]), KeyPart::U16(0)];
    let beside = store.list::<AudienceChunk>(&prefix, None, Order::Ascending, 10);
    assert_eq!(beside.await.expect("list").rows.len(), 6);
}
