import numpy as np
import torch

from trpo_cli.seeding import STREAMS, environment_seeds, on_device, sequence, stream


class TestSequence:
    def test_is_the_child_that_spawn_gives(self):
        children = np.random.SeedSequence(7).spawn(len(STREAMS))
        for name, child in zip(STREAMS, children, strict=True):
            np.testing.assert_array_equal(
                sequence(7, name).generate_state(4), child.generate_state(4)
            )

    def test_names_keep_their_places(self):
        """A run of an earlier version repeats only while these stay where they are."""
        assert STREAMS[:7] == (
            "policy_init",
            "value_init",
            "action_noise",
            "policy_minibatches",
            "value_minibatches",
            "environments",
            "evaluation",
        )


class TestStream:
    def test_repeats_and_differs_by_name_and_seed(self):
        first = {(s, name): stream(s, name).random() for s in (0, 1) for name in STREAMS}
        again = {(s, name): stream(s, name).random() for s in (0, 1) for name in STREAMS}
        assert first == again
        assert len(set(first.values())) == len(first)


class TestOnDevice:
    def test_follows_the_generator_and_moves_it_on(self):
        first, again = (stream(5, "action_noise") for _ in range(2))
        numbers = [torch.rand(4, generator=on_device(g, torch.device("cpu"))) for g in
                   (first, first, again)]  # fmt: skip
        assert torch.equal(numbers[0], numbers[2])
        assert not torch.equal(numbers[0], numbers[1])


class TestEnvironmentSeeds:
    def test_do_not_depend_on_how_many_there_are(self):
        assert environment_seeds(3, 16)[:5] == environment_seeds(3, 5)

    def test_are_distinct_integers_that_differ_by_seed(self):
        seeds = environment_seeds(0, 100) + environment_seeds(1, 100)
        # 200 draws from 2^32: a collision has a chance below 1e-5.
        assert len(set(seeds)) == 200
        assert all(type(s) is int and 0 <= s < 2**32 for s in seeds)
