"""Small videos for tests, written with PyAV."""

from fractions import Fraction

import numpy as np

from hm3_jax.extraction.videos import map_frames


def flat_frames(count, height=48, width=64):
    """Frames that are told apart by their grey."""
    return [
        np.full((height, width, 3), round(number * 255 / max(count - 1, 1)), np.uint8)
        for number in range(count)
    ]


def sample_frames(path, **settings):
    """The frames that `map_frames` takes of a video, as they are."""
    return map_frames(path, lambda frame: frame, **settings)


def write_video(
    path,
    frames,
    *,
    rate: int | Fraction = 10,
    pts=None,
    time_base=None,
    matrix=None,
    pixel_shape=None,
    sound=False,
):
    """Encodes frames (height, width, 3) uint8 with H.264, nearly without loss.

    With `pts` (numbers of `time_base`), each frame appears when it says. Pixels are
    `pixel_shape` times as wide as high.
    """
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=rate, options={"crf": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        if matrix is not None:
            stream.set_display_matrix(matrix)
        voice = add_sound(video) if sound else None
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], time_base or Fraction(1, 1000)
            video.mux(stream.encode(frame))
        video.mux(stream.encode())
        if voice is not None:
            write_sound(video, voice)
    return path


def write_sound_file(path):
    """A file of sound only."""
    import av

    with av.open(str(path), "w") as video:
        write_sound(video, add_sound(video))
    return path


def write_sound_with_cover(path):
    """A file of sound with a picture for its cover."""
    import av
    from av.stream import Disposition

    with av.open(str(path), "w") as video:
        sound = add_sound(video)
        cover = video.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = np.zeros((32, 32, 3), np.uint8)
        video.mux(cover.encode(av.VideoFrame.from_ndarray(picture)))
        video.mux(cover.encode())
        write_sound(video, sound)
    return path


def write_header(path):
    """A video of no frames."""
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        video.start_encoding()
    return path


def add_sound(video):
    return video.add_stream("aac", rate=16000)


def write_sound(video, stream):
    import av

    for number in range(10):
        silence = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, number * 1024
        video.mux(stream.encode(frame))
    video.mux(stream.encode())


def decode_all(path):
    """Every frame of a video, by PyAV directly: (height, width, 3) uint8 each."""
    import av

    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
