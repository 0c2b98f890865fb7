"""zarr folders, versions 3 and 2: a file of JSON describes an array, and each chunk of it is a file beside it.

``limits``  the stated limits         ``layout``  how an array is cut into files
``version_3``  zarr.json              ``version_2``  .zarray
``folder``  the description among the chunks  ``shard``  a file of inner chunks

Only chunks that are plain bytes are typed; compressed ones are files like any other.
"""
