//! The gate under threads: order, deadlines, exclusion, and that no request is ever lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn get<T>(r: &Receiver<T>) -> T {
    r.recv_timeout(LONG).expect("an answer")
}

#[test]
fn open_runs_at_once_on_the_same_thread() {
    let gate = Gate::new();
    let (send, receive) = channel();
    gate.pass(Box::new(move |r| {
        send.send((r, thread::current().id())).unwrap();
    }));
    assert_eq!(
        receive.try_recv().unwrap(),
        (Ok(()), thread::current().id())
    );
    assert_eq!(gate.lock().in_flight, 0);
}

#[test]
fn closed_parks_and_opening_runs_in_order_on_a_worker() {
    let gate = Gate::new();
    let closed = gate.close();
    let (send, receive) = channel();
    for n in 0..100 {
        let send = send.clone();
        gate.pass(Box::new(move |r| {
            send.send((n, r, thread::current().id())).unwrap();
        }));
    }
    assert_eq!(gate.parked(), 100);
    assert!(receive.try_recv().is_err(), "nothing passes a closed gate");
    drop(closed);
    for n in 0..100 {
        let (got, r, thread) = get(&receive);
        assert_eq!((got, r), (n, Ok(())));
        assert_ne!(thread, thread::current().id());
    }
    assert_eq!(gate.parked(), 0);
}

#[test]
fn deadline_answers_expired_while_closed() {
    let gate = Gate::new();
    gate.set_deadline(Duration::from_millis(30));
    let closed = gate.close();
    let (send, receive) = channel();
    let started = Instant::now();
    gate.pass(Box::new(move |r| send.send(r).unwrap()));
    assert_eq!(get(&receive), Err(Expired));
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert_eq!(gate.parked(), 0);
    // The worker is gone with the last parked one; the next one gets another.
    let (send, receive) = channel();
    gate.pass(Box::new(move |r| send.send(r).unwrap()));
    gate.set_deadline(LONG);
    assert_eq!(get(&receive), Err(Expired));
    drop(closed);
}

#[test]
fn a_shorter_deadline_overtakes_a_longer_one() {
    let gate = Gate::new();
    let closed = gate.close();
    let (send, receive) = channel();
    let first = send.clone();
    gate.pass(Box::new(move |r| first.send(("long", r)).unwrap()));
    gate.set_deadline(Duration::from_millis(10));
    gate.pass(Box::new(move |r| send.send(("short", r)).unwrap()));
    assert_eq!(get(&receive), ("short", Err(Expired)));
    drop(closed);
    assert_eq!(get(&receive), ("long", Ok(())));
}

#[test]
fn answer_parked_lets_through_in_order_and_stays_closed() {
    let gate = Gate::new();
    let closed = gate.close();
    let (send, receive) = channel();
    for n in 0..3 {
        let send = send.clone();
        let again = Arc::clone(&gate);
        gate.enter(Box::new(move |r| {
            assert_eq!(r, Ok(()));
            // What leaves the gate and comes back (prepared anew) is let through as well.
            Some(Box::new(move || {
                again.pass(Box::new(move |r| send.send((n, r)).unwrap()));
            }) as After)
        }));
    }
    closed.answer_parked();
    let got: Vec<_> = receive.try_iter().collect();
    assert_eq!(got, vec![(0, Ok(())), (1, Ok(())), (2, Ok(()))]);
    gate.pass(Box::new(move |r| send.send((9, r)).unwrap()));
    assert!(receive.try_recv().is_err(), "the gate stayed closed");
    drop(closed);
    assert_eq!(get(&receive), (9, Ok(())));
}

#[test]
fn close_waits_for_what_is_in_flight() {
    let gate = Gate::new();
    let (release, hold) = channel::<()>();
    let (entered, wait) = channel();
    let done = Arc::new(AtomicBool::new(false));
    let (g, d) = (Arc::clone(&gate), Arc::clone(&done));
    let t = thread::spawn(move || {
        g.pass(Box::new(move |_| {
            entered.send(()).unwrap();
            hold.recv().unwrap();
            d.store(true, Ordering::SeqCst);
        }));
    });
    get(&wait);
    let (g, d) = (Arc::clone(&gate), Arc::clone(&done));
    let closer = thread::spawn(move || {
        let closed = g.close();
        (d.load(Ordering::SeqCst), closed)
    });
    while !gate.lock().closed {
        thread::yield_now();
    }
    release.send(()).unwrap();
    let (was_done, closed) = closer.join().unwrap();
    assert!(was_done, "closed only after it had ended");
    drop(closed);
    t.join().unwrap();
}

#[test]
fn a_dispatching_thread_is_not_held_by_a_slow_swap() {
    let gate = Gate::new();
    let (release, hold) = channel::<()>();
    let (swapping, wait) = channel();
    let g = Arc::clone(&gate);
    let swap = thread::spawn(move || {
        g.swap(|| {
            swapping.send(()).unwrap();
            hold.recv().unwrap();
        });
    });
    get(&wait);
    let (send, receive) = channel();
    let started = Instant::now();
    gate.pass(Box::new(move |r| send.send(r).unwrap()));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(gate.parked(), 1);
    assert!(receive.try_recv().is_err());
    release.send(()).unwrap();
    assert_eq!(get(&receive), Ok(()));
    swap.join().unwrap();
}

#[test]
fn write_back_passes_a_closed_gate_but_not_a_swap() {
    let gate = Gate::new();
    let closed = gate.close();
    let (send, receive) = channel();
    let s = send.clone();
    gate.enter_always(Box::new(move |r| {
        s.send(r).unwrap();
        None
    }));
    assert_eq!(receive.try_recv(), Ok(Ok(())));
    drop(closed);
    let (release, hold) = channel::<()>();
    let (swapping, wait) = channel();
    let g = Arc::clone(&gate);
    let swap = thread::spawn(move || {
        g.swap(|| {
            swapping.send(()).unwrap();
            hold.recv().unwrap();
        });
    });
    get(&wait);
    let g = Arc::clone(&gate);
    let writer = thread::spawn(move || {
        g.enter_always(Box::new(move |r| {
            send.send(r).unwrap();
            None
        }));
    });
    assert!(receive.recv_timeout(Duration::from_millis(20)).is_err());
    release.send(()).unwrap();
    assert_eq!(get(&receive), Ok(()));
    writer.join().unwrap();
    swap.join().unwrap();
}

#[test]
fn a_request_that_panics_does_not_stay_in_flight() {
    let gate = Gate::new();
    let g = Arc::clone(&gate);
    let t = thread::spawn(move || g.pass(Box::new(|_| panic!("on purpose"))));
    assert!(t.join().is_err());
    gate.swap(|| ());
    // Parked ones are run by the worker, which must outlive the panic.
    let closed = gate.close();
    let (send, receive) = channel();
    gate.pass(Box::new(|_| panic!("on purpose")));
    gate.pass(Box::new(move |r| send.send(r).unwrap()));
    drop(closed);
    assert_eq!(get(&receive), Ok(()));
    gate.swap(|| ());
}

#[test]
fn swaps_and_closings_exclude_requests_and_none_is_lost() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let gate = Gate::new();
    let inside = Arc::new(AtomicUsize::new(0));
    let ran = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let (gate, inside, ran) = (Arc::clone(&gate), Arc::clone(&inside), Arc::clone(&ran));
        threads.push(thread::spawn(move || {
            for n in 0..EACH {
                let (inside, ran) = (Arc::clone(&inside), Arc::clone(&ran));
                gate.pass(Box::new(move |r| {
                    assert_eq!(r, Ok(()));
                    inside.fetch_add(1, Ordering::SeqCst);
                    if n % 64 == 0 {
                        thread::yield_now();
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    ran.fetch_add(1, Ordering::SeqCst);
                }));
            }
        }));
    }
    let mut others = Vec::new();
    for closes in [false, true] {
        let (gate, inside, stop) = (Arc::clone(&gate), Arc::clone(&inside), Arc::clone(&stop));
        others.push(thread::spawn(move || {
            let mut times = 0;
            while !stop.load(Ordering::SeqCst) || times < 50 {
                let seen = if closes {
                    let closed = gate.close();
                    let first = inside.load(Ordering::SeqCst);
                    closed.answer_parked();
                    first + inside.load(Ordering::SeqCst)
                } else {
                    gate.swap(|| inside.load(Ordering::SeqCst))
                };
                assert_eq!(seen, 0, "a request was in flight");
                times += 1;
                thread::yield_now();
            }
        }));
    }
    for t in threads {
        t.join().unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    for t in others {
        t.join().unwrap();
    }
    let until = Instant::now() + LONG;
    while ran.load(Ordering::SeqCst) < THREADS * EACH && Instant::now() < until {
        thread::yield_now();
    }
    assert_eq!(ran.load(Ordering::SeqCst), THREADS * EACH);
    assert_eq!(gate.parked(), 0);
}
