from gan_fast.training.curves import HEIGHT, LINE, WIDTH, draw_curves


def record(kimg, fd, recall):
    return {"kimg": kimg, "fd_digits": fd, "recall": recall}


def ink(image, panel):
    """Rows of the panel that hold the curve's colour, at each kimg third."""
    pixels = image.load()
    columns = [panel * WIDTH + 44 + 2, panel * WIDTH + WIDTH - 14 - 2]
    return [[y for y in range(HEIGHT) if pixels[x, y] == LINE] for x in columns]


def test_curves_go_where_the_values_go():
    image = draw_curves([record(0, 60, 0.2), record(4, 5, 0.9)], {"fd_digits": 0.3, "recall": 0.9})
    assert image.size == (2 * WIDTH, HEIGHT)
    (fd_first, fd_last), (recall_first, recall_last) = ink(image, 0), ink(image, 1)
    assert max(fd_first) < min(fd_last)
    assert min(recall_first) > max(recall_last)


def test_one_evaluation_is_enough():
    assert draw_curves([record(0, 1e9, 0.0)], {"fd_digits": 0.3, "recall": 0.9}).size == (2 * WIDTH, HEIGHT)
