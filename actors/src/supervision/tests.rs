use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::prelude::*;
use engine::runtime::Runtime;

use super::{ChildSpec, Escalation, Lifeline, Post, RestartPolicy, Restarts, Spent, supervise};

#[test]
fn delays_double_and_the_budget_ends() {
    let policy = RestartPolicy {
        budget: 4,
        ..RestartPolicy::default()
    };
    let mut restarts = Restarts::new(policy);
    let delays: Vec<_> = (0..4).map_while(|_| restarts.next(1)).collect();
    assert_eq!(delays, [100, 200, 400, 800].map(Duration::from_millis));
    assert_eq!(restarts.next(2), None);
    let after_window = 1 + 300_000_000;
    assert_eq!(
        restarts.next(after_window),
        Some(Duration::from_millis(100))
    );
}

/// A child that fails as soon as it starts.
struct Failing {
    starts: Arc<AtomicU32>,
    _lifeline: Lifeline,
}

impl Actor for Failing {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.starts.fetch_add(1, Ordering::SeqCst);
        context.terminate();
    }
}

/// How often such a child was started within this time, and whether the node was stopped.
fn starts_within(policy: RestartPolicy, time: Duration) -> (u32, bool) {
    let paused = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let built = builder.enable_all().start_paused(true).build();
        built.expect("a runtime is built")
    };
    actix::System::with_tokio_rt(paused).block_on(async {
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let (causes, mut caused) = tokio::sync::mpsc::channel(1);
        let spec = ChildSpec {
            name: "failing".to_owned(),
            post: Post::default(),
            policy,
            factory: Box::new(move |lifeline| Failing {
                starts: Arc::clone(&counted),
                _lifeline: lifeline,
            }),
        };
        let runtime = Runtime::of_machine(tokio::runtime::Handle::current());
        drop(supervise(&runtime, Escalation::new(causes), spec));
        runtime.sleep(time).await;
        (starts.load(Ordering::SeqCst), caused.try_recv().is_ok())
    })
}

#[test]
fn what_the_node_needs_stops_it_when_it_fails_too_often() {
    let policy = RestartPolicy::default();
    assert_eq!(policy.spent, Spent::StopNode);
    let (starts, is_stopped) = starts_within(policy, Duration::from_secs(60));
    assert_eq!((starts, is_stopped), (11, true));
}

#[test]
fn one_campaign_is_put_aside_after_three_attempts_and_tried_later() {
    let policy = RestartPolicy::of_work();
    let (starts, is_stopped) = starts_within(policy, Duration::from_secs(299));
    assert_eq!((starts, is_stopped), (3, false));
    let (starts, is_stopped) = starts_within(policy, Duration::from_secs(310));
    assert_eq!((starts, is_stopped), (6, false));
}
