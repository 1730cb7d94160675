import contextlib
import os
import signal
import threading

import pytest

from trpo_cli.system.signals import HANDLED, Interrupted, Stop


@pytest.fixture(autouse=True)
def handlers_come_back():
    """Also where the tests were started to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    handlers = [signal.getsignal(number) for number in HANDLED]
    yield
    assert [signal.getsignal(number) for number in HANDLED] == handlers
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", HANDLED)
class TestEach:
    def test_raises_at_once(self, number):
        with pytest.raises(Interrupted) as caught, Stop(deferred=False):
            send(number)
            pytest.fail("not reached")
        assert str(caught.value) == number.name
        assert caught.value.exit_status == 128 + number

    def test_is_remembered(self, number, capfd):
        with pytest.raises(Interrupted, match=number.name), Stop(deferred=True) as stop:
            assert not stop.requested()
            stop.check()
            send(number)
            assert stop.requested()
            stop.check()
            pytest.fail("not reached")
        assert number.name in capfd.readouterr().err

    def test_that_nobody_asked_about_is_raised_at_the_end(self, number):
        reached = False
        with pytest.raises(Interrupted), Stop(deferred=True):
            send(number)
            reached = True
        assert reached

    def test_is_raised_again_where_a_callback_lost_it(self, number):
        """What a callback from compiled code raises is printed and dropped."""
        with pytest.raises(Interrupted, match=number.name), Stop(deferred=False):
            with contextlib.suppress(Interrupted):
                send(number)
            raise RuntimeError("no compiled object yet")

    def test_gives_way_to_another_error(self, number):
        with pytest.raises(ValueError, match="own"), Stop(deferred=True):
            send(number)
            raise ValueError("own")


def test_a_second_ctrl_c_raises_and_a_third_does_nothing():
    with pytest.raises(Interrupted, match="SIGTERM"), Stop(deferred=True):
        send(signal.SIGTERM)
        send(signal.SIGTERM)  # some schedulers send it again and again
        try:
            send(signal.SIGINT)
            pytest.fail("not reached")
        finally:
            send(signal.SIGINT)


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stop(deferred=False) as stop:
        send(signal.SIGINT)
        assert not stop.requested()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_are_left_alone():
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with Stop(deferred=True) as stop:
            found.append((signal.getsignal(signal.SIGTERM), stop.requested()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(before, False)]


def test_blocks_nest():
    with pytest.raises(Interrupted, match="SIGUSR1"), Stop(deferred=False):
        with Stop(deferred=True) as inner:
            pass
        assert not inner.requested()
        send(signal.SIGUSR1)
