from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderPlaced(_message.Message):
    __slots__ = ("order_id", "customer", "items", "total", "currency")
    class Item(_message.Message):
        __slots__ = ("sku", "quantity")
        SKU_FIELD_NUMBER: _ClassVar[int]
        QUANTITY_FIELD_NUMBER: _ClassVar[int]
        sku: str
        quantity: int
        def __init__(self, sku: _Optional[str] = ..., quantity: _Optional[int] = ...) -> None: ...
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    customer: str
    items: _containers.RepeatedCompositeFieldContainer[OrderPlaced.Item]
    total: int
    currency: str
    def __init__(self, order_id: _Optional[str] = ..., customer: _Optional[str] = ..., items: _Optional[_Iterable[_Union[OrderPlaced.Item, _Mapping]]] = ..., total: _Optional[int] = ..., currency: _Optional[str] = ...) -> None: ...
